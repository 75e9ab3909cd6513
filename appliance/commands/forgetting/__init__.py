"""What the ledger of commands forgets."""
