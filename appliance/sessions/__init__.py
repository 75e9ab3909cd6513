"""The sessions, waiting messages and retained messages of the broker on disk."""
