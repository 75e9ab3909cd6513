"""Jobs as they are kept, and what is known of the devices that they are for."""
