"""The days that are dropped: what went in a night is counted, and each is told in the audit log."""
