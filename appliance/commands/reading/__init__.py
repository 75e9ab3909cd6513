"""The ledger of commands as people read it."""
