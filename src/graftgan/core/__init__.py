"""Shared by all rooms: errors, settings, files, random numbers and the types of networks."""
