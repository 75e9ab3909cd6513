"""Letting the certificates of devices open nothing any more, many at once."""
