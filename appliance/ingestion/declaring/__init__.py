"""Units that devices declare, beside those that their types have."""
