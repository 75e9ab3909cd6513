"""What devices publish on topics of their own, turned into their telemetry by rules that people keep."""
