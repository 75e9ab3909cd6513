"""The way of a published message: decide, commit, acknowledge, announce."""
