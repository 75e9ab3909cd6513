"""Keys that never leave a hardware token: a smart card, a USB stick, a security module."""
