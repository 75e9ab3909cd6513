"""Days of which only roll-ups are left: an answer that needs their readings one by one says that it lacks them."""
