"""Kills, signals and damage at random moments, and a comparison with an unbroken twin.

``make storm`` runs it; ``docs/reliability.md`` explains it.
"""
