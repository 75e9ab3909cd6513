"""Programs that run beside the gateway, bounded in memory, to write and read Parquet."""
