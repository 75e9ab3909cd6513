"""The pending tray: who knocked with nothing but a key, until a person has decided."""
