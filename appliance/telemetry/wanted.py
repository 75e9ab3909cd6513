"""Long work that ends early when nobody wants its result any more."""

from collections.abc import Callable

Check = Callable[[], None]
"""Is called between two pieces of work of a few milliseconds each, and raises when nobody wants the rest."""


def is_wanted() -> None:
    """The check of work that is always wanted."""
