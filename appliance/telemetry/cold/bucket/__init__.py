"""A bucket of S3-compatible storage: how requests are signed, sent and gone on with."""
