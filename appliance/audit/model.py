"""The nouns of the audit log."""

from collections.abc import Mapping

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """Who does something, and from which address; the address is empty on the gateway itself."""

    name: str
    address: str = ""


GATEWAY = Actor("gateway")
"""The gateway by itself."""


class Entry(msgspec.Struct, frozen=True):
    """Something that was done, or refused. Nothing in it is secret."""

    action: str
    """An object and what was done to it, for example `certificate.issue`: one of `kinds.KINDS`."""
    subject: str
    """What it was done to, for example a device id."""
    details: Mapping[str, str] = {}
    result: str = "done"
    """`done`, or the reason why not."""


class RecordedEntry(msgspec.Struct, frozen=True):
    """An entry as it stands in the log."""

    position: int
    """1 for the first entry of a tenant, and one more for each that follows."""
    recorded_at: int
    actor: str
    address: str
    action: str
    subject: str
    result: str
    details: str
    """JSON, keys sorted."""
    hash: str
    """SHA-256 over the hash of the entry before and everything in this one, hexadecimal."""


class Head(msgspec.Struct, frozen=True):
    """Where a tenant's chain ends."""

    position: int
    hash: str


class End(msgspec.Struct, frozen=True):
    """Where a chain ends, as its head says and as its entries do."""

    head: Head
    newest: int
    """The highest position of an entry."""


class Wanted(msgspec.Struct, frozen=True):
    """Which entries are looked for; an empty text asks for nothing."""

    actor: str = ""
    subject: str = ""
    action: str = ""


class Page(msgspec.Struct, frozen=True):
    """Entries, newest first, and where to look on."""

    entries: tuple[RecordedEntry, ...]
    next_before: int | None
    """The position below which nothing was looked at yet; None when that is the beginning of the log."""


class Verdict(msgspec.Struct, frozen=True):
    """What came of checking a tenant's chain."""

    tenant_id: int
    entry_count: int
    hash: str
    """Of the newest entry. Whoever notes it elsewhere can tell later that nothing before it was changed."""
    fault: str
    """What is wrong, and where; empty when nothing is."""
