"""Devices that do not exist, on the real path."""
