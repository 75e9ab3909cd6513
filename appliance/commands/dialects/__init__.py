"""The dialects in which commands are told to devices."""
