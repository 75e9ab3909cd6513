"""Day files as they are read."""
