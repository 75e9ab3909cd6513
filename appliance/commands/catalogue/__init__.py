"""What commands devices of a type understand."""
