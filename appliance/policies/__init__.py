"""Policies: what devices may do, said as data and judged by pure functions."""
