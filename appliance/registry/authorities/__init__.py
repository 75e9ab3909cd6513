"""The keys of the device CA while the gateway runs, and its list of what was revoked."""
