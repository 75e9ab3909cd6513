"""How what is heard of commands gets to the disk."""
