"""What evidence makes of commands."""
