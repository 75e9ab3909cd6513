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
def acting_as(name: str, address: str | None = None) -> Iterator[None]:
    """What is done until the block is left is done by `name`, from `address`; without one, from where it came in."""
    token = _acting.set(Actor(name, actor().address if address is None else address))
    try:
        yield
    finally:
        _acting.reset(token)


def device_name(device_id: str) -> str:
    """A device, as the actor that it is."""
    return f"device:{device_id}"


def claim_name(name: str) -> str:
    """Whoever has a claim, as the actor that they are."""
    return f"claim:{name}"


def code_name(code_number: int) -> str:
    """Whoever has an enrolment code, as the actor that they are."""
    return f"code:{code_number}"
