"""Readings as text: cells, tables, lines."""
