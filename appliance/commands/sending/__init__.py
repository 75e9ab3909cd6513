"""Commands as people send them, and take them back."""
