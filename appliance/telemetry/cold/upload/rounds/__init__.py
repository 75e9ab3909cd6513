"""What is brought to the bucket, and when."""
