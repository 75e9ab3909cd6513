"""Renewal of certificates: the old one is good until the new one was used."""
