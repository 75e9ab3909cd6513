"""What was done with identities: who, what, when, from where, and what came of it."""
