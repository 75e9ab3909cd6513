"""What is offered next, chosen and on disk as offered."""
