"""What the gateway's clock is worth."""
