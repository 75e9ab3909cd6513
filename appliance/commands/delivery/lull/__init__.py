"""Some wait until others are done who are in a hurry."""
