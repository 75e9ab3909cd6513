"""Readings out: tables and lines of any length, a block at a time."""
