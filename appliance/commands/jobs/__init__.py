"""Jobs: work for many devices, offered to each one as AWS IoT does."""
