"""One-time codes: who has one enrols one device."""
