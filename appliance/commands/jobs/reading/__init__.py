"""The executions of jobs as people read them."""
