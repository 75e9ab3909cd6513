"""What people take back."""
