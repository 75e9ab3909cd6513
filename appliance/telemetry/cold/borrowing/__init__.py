"""Files that only the bucket has, while questions are asked of them."""
