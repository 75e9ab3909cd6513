"""The way of a command to a connection, and what is known of it afterwards."""
