"""Commands with which the gateway cannot go on."""
