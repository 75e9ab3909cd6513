"""What the stored days and the memory hold of an interval."""
