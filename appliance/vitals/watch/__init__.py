"""Alert rules about the gateway itself."""
