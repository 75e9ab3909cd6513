"""Tenants, users, tokens, signing in."""
