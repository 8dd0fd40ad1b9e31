"""Adapters: the tensors that a plan changed, several of which can share one base.

``adapter.py`` makes, saves, loads and applies one, ``bank.py`` holds several on one base, and
``listing.py`` finds them and states their sizes.
"""
