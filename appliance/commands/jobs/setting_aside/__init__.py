"""Executions of jobs with which the gateway cannot go on."""
