"""What is known of devices: their types, groups and attributes; searches over them; tables in and out."""
