"""What jobs do by themselves."""
