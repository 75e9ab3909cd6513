"""What a page shows, as values that can be compared, so that only what has changed is sent to it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from appliance.gateway import Gateway


class Part(NamedTuple):
    """A piece of a page: the template of a fragment, and the value it shows.

    The fragment's outermost element has an `id` and `hx-swap-oob="morph"`.
    """

    template: str
    view: object


class Painting(NamedTuple):
    """The live pieces of a page at one moment."""

    whole: tuple[Part, ...]
    """Everything, for a page that has missed something or whose set of parts is another now."""
    parts: Mapping[str, Part]
    """The same in the smallest pieces, by the identifier of their element."""
    shape: object = None
    """What stands around the pieces; when it changes, the whole is sent."""


class Stage(NamedTuple):
    """What a painter looks at."""

    gateway: Gateway
    tenant_id: int
    parameters: Mapping[str, str]
    """The query of the page's address."""
    now: int


Paint = Callable[[Stage], Awaitable[Painting]]
"""Looks at the gateway and says what a page shows now."""
