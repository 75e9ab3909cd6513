"""The event log as a stream: who reads it, how far each has come, and what is kept for them."""
