"""Pauses in work that nobody waits for."""
