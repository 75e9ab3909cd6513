"""Which device has a key."""
