"""Who is acting: said once where a request comes in, and known wherever it leads to.

A value of the task's context, because what is done on the way is none of the business of those in between.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from appliance.audit.model import GATEWAY, Actor

_acting: ContextVar[Actor] = ContextVar("acting", default=GATEWAY)


def actor() -> Actor:
    """Who is acting here; the gateway by itself where nobody has said."""
    return _acting.get()


@contextmanager
def acting_as(name: str, address: str = "") -> Iterator[None]:
    """What is done until the block is left is done by `name`, from `address`."""
    token = _acting.set(Actor(name, address))
    try:
        yield
    finally:
        _acting.reset(token)
