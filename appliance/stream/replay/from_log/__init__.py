"""What the event log still holds of an interval."""
