"""Answers for whole hours and days."""
