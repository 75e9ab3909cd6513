"""The connection to a bucket."""
