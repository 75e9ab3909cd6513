"""Signed firmware images on disk and the deltas between them."""
