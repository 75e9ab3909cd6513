"""One file per page. A page's handler and its live painter show the same context."""
