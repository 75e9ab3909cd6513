"""Decided batches on their way to the disk, and to those who wait for them."""
