"""What an unforeseen error does not stop."""
