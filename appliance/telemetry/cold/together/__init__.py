"""Day files and the cold tier answer together."""
