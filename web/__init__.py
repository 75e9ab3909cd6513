"""How people use the gateway, from a browser or a script."""
