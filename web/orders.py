"""The ledger of commands as pages show it: which part of it is wanted, what is there, and what of it is live."""

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

import msgspec

from appliance.commands.model import Command
from appliance.errors import NotFoundError
from appliance.gateway import Gateway
from appliance.registry.model import Device
from web import ledger
from web.ledger import Entry
from web.painting import Painting, Part
from web.parameters import FURTHEST

ENTRIES_LIMIT = 50
PIECE = 100
SEARCHED_LIMIT = 2_000
"""How many commands are looked at for one page of those that are like this."""
TABS = {"": "All", "open": "Open", "closed": "Ended"}
TEXT_LENGTH = 128


class Tab(msgspec.Struct, frozen=True):
    """Which commands are listed."""

    label: str
    address: str
    is_current: bool


class Wanted(msgspec.Struct, frozen=True):
    """Which part of the ledger, as its address says it."""

    state: str = ""
    """`open`, `closed`, a state, or nothing for all."""
    device: str = ""
    name: str = ""
    batch: str = ""
    before: int = FURTHEST

    @property
    def asked(self) -> dict[str, str]:
        """The query of the address, without where the list begins."""
        told = {"state": self.state, "device": self.device, "name": self.name, "batch": self.batch}
        return {key: text for key, text in told.items() if text}


class Ledger(msgspec.Struct, frozen=True):
    """Some commands, newest first."""

    entries: tuple[Entry, ...]
    tabs: tuple[Tab, ...]
    newest: str
    """Where the newest are; empty when they are here."""
    older: str
    """Where older ones are; empty when there are none."""
    is_narrowed: bool
    all_address: str


def wanted_of(parameters: Mapping[str, str], *, device_id: str = "") -> Wanted:
    """Which part of the ledger an address, or what is left of one, asks for; all of one device with `device_id`."""
    before = parameters.get("before", "")
    is_number = before.isascii() and before.isdigit() and 0 < len(before) < len(str(FURTHEST))
    state = parameters.get("state", "")
    told = {key: parameters.get(key, "").strip()[:TEXT_LENGTH] for key in ("device", "name", "batch")}
    if device_id:
        told = {"device": "", "name": "", "batch": ""}
    return Wanted(
        state=state if state in TABS or ledger.states_of(state) else "",
        before=int(before) if is_number else FURTHEST,
        **told,
    )


class _Found(NamedTuple):
    commands: list[Command]
    next_before: int | None
    """Where to go on; None when these are all."""


async def look(gateway: Gateway, tenant_id: int, wanted: Wanted, base: str, *, device_id: str = "") -> Ledger:
    """This part of the ledger of everybody, or of one device; `base` is the address of the page that shows it."""
    found = await _found(gateway, tenant_id, msgspec.structs.replace(wanted, device=device_id or wanted.device))
    older = address(base, {**wanted.asked, "before": str(found.next_before)}) if found.next_before else ""
    return Ledger(
        entries=tuple(_entry(gateway, command, is_device_told=not device_id) for command in found.commands),
        tabs=tuple(
            Tab(label, address(base, {**wanted.asked, "state": key}), key == wanted.state)
            for key, label in TABS.items()
        ),
        newest=address(base, wanted.asked) if wanted.before != FURTHEST else "",
        older=older,
        is_narrowed=bool(wanted.asked) or wanted.before != FURTHEST,
        all_address=base,
    )


def painting(view: Ledger) -> Painting:
    """Each command by itself; all of them when there are others."""
    whole = Part("fragments/command_ledger.html", view)
    parts = {f"command-{one.execution_id}": Part("fragments/command_entry.html", one) for one in view.entries}
    return Painting((whole,), parts, shape=msgspec.structs.replace(view, entries=()))


def without_buttons(view: Ledger) -> Ledger:
    """The same for somebody who may change nothing."""
    entries = tuple(msgspec.structs.replace(one, may_cancel=False) for one in view.entries)
    return msgspec.structs.replace(view, entries=entries)


def without_batches(view: Ledger) -> Ledger:
    """The same where everybody knows that each command is one of many."""
    entries = tuple(msgspec.structs.replace(one, batch_id="") for one in view.entries)
    return msgspec.structs.replace(view, entries=entries)


def address(base: str, asked: Mapping[str, str]) -> str:
    """An address with its query, without what is empty."""
    told = {key: text for key, text in asked.items() if text}
    return f"{base}?{urlencode(told)}" if told else base


async def _found(gateway: Gateway, tenant_id: int, wanted: Wanted) -> _Found:
    """The newest that are like this. Of a long ledger a part is searched, and where to go on with the rest is told."""
    commands: list[Command] = []
    before, looked_at = wanted.before, 0
    while looked_at < SEARCHED_LIMIT:
        piece = await gateway.commands.commands(
            tenant_id,
            device_id=wanted.device,
            batch_id="" if wanted.device else wanted.batch,
            states=tuple(ledger.states_of(wanted.state)),
            before=before,
            limit=PIECE,
        )
        commands += [one for one in piece if _is_wanted(one, wanted)]
        if len(commands) > ENTRIES_LIMIT:
            shown = commands[:ENTRIES_LIMIT]
            return _Found(shown, shown[-1].command_number)
        if len(piece) < PIECE:
            return _Found(commands, None)
        before, looked_at = piece[-1].command_number, looked_at + len(piece)
    return _Found(commands, before)


def _is_wanted(command: Command, wanted: Wanted) -> bool:
    return wanted.name in ("", command.name) and wanted.batch in ("", command.batch_id)


def _entry(gateway: Gateway, command: Command, *, is_device_told: bool) -> Entry:
    presence = gateway.registry.presence(command.tenant_id, command.device_id)
    return ledger.entry(command, _device(gateway, command), presence, is_device_told=is_device_told)


def _device(gateway: Gateway, command: Command) -> Device | None:
    try:
        return gateway.registry.device(command.tenant_id, command.device_id)
    except NotFoundError:
        # A ledger outlives the devices it tells of.
        return None
