"""The cold tier: days of readings as Parquet files, here and in a bucket."""
