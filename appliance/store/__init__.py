"""gateway.db: one writer, some readers, migrations and the event log."""
