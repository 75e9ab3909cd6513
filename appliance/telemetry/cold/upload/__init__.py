"""How files come into a bucket."""
