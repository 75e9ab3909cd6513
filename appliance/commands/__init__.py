"""Orders and jobs for devices, and how far each execution has come."""
