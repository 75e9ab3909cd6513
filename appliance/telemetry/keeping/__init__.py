"""How day files are kept: sealed at night, checked, thinned, dropped and erased."""
