"""Tokens for devices that cannot do certificates."""
