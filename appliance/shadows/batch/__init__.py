"""The shadows of one transaction."""
