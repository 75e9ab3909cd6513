"""Executions of jobs inside one transaction."""
