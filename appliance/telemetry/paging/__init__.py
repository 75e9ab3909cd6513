"""What a device sent, page by page, the newest first."""
