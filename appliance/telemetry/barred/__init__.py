"""Days into whose files nothing can be written for now."""
