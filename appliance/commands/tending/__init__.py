"""What time does to commands."""
