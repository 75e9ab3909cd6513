"""What the gateway does with what devices say."""
