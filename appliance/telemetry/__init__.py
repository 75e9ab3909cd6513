"""Readings over time: chunks, day files and range queries."""
