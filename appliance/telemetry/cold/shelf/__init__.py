"""The files of the cold tier on the disk."""
