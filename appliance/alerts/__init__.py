"""When an alert opens, repeats and closes."""
