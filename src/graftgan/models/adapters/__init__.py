"""Adapters: only the tensors a plan changed, and one base for many of them.

``adapter.py`` makes one, keeps it on disk and puts it back, ``bank.py`` holds several on one base,
and ``listing.py`` says how large they are and where.
"""
