"""CAs that a tenant brings along: their certificates become those of devices at the first connection."""
