"""When devices were connected and why not: remembered on disk, and told as AWS IoT tells it."""
