"""`/v1`, for scripts. One file per noun."""
