"""Readings in by the table."""
