"""The room on the disk: what takes it, how long it lasts, and what goes when there is none."""
