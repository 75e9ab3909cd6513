"""The program beside the gateway that writes what is exported as Parquet."""
