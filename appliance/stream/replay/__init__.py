"""What was received in an interval, once more and in the order of its arrival."""
