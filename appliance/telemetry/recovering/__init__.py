"""What a start takes up."""
