"""Devices taken out of everything that was received."""
