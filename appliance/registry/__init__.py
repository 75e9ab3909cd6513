"""Devices, certificates, policies."""
