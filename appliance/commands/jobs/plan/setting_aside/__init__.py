"""Jobs that nobody can read."""
