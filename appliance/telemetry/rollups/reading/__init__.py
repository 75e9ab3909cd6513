"""Hourly and daily roll-ups: what is known of each metric without its readings."""
