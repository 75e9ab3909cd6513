"""What was received in an interval as messages: as they came, or written anew of what was understood of them."""
