"""What is wanted of devices and what they report: shadows."""
