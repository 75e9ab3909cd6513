"""How a device that is not known becomes one that is."""
