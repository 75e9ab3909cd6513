"""Plans of jobs: which devices have work offered, how fast, when, and when it is enough."""
