"""The gateway's own figures: gathered, written out for monitoring, and judged by alert rules."""
