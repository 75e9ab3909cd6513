"""Changes of shadows that are packed."""
