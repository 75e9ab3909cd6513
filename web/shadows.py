"""Shadows as people change them: by page and by script the same rules, the same words, the same entry in the audit log.

What is asked for goes the way of what devices ask for, and is refused in the words that a device would get.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from appliance.accounts.model import User
from appliance.audit.model import Entry
from appliance.errors import (
    ApplianceError,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    TooLargeError,
    TooManyAttemptsError,
    UnavailableError,
)
from appliance.gateway import Gateway
from appliance.instant import SECOND_MS
from appliance.registry.model import DeviceRetiredError, DeviceState
from appliance.shadows.model import NAME, Address, Answer, Verb

Telling = Callable[[int], Entry]
"""The entry of the audit log for a change, by the version that came of it."""

SCRIPT = "token:"
"""How the name of a script's user begins."""

REFUSALS: dict[int, type[ApplianceError]] = {
    400: InvalidInputError,
    404: NotFoundError,
    409: ConflictError,
    413: TooLargeError,
    429: TooManyAttemptsError,
}


class Wish(msgspec.Struct, frozen=True):
    """What is to become of a shadow."""

    device_id: str
    name: str
    """Empty for the classic shadow."""
    state: Any
    """What is to be merged into it."""
    version: int | None = None
    """The version that it must have; None for any."""
    client_token: str | None = None


class Accepted(msgspec.Struct, frozen=True):
    """What became of it."""

    version: int
    at: int
    """To the second."""


class _Request(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    state: Any = msgspec.UNSET
    version: int | None = None
    client_token: str | None = None


class _Answered(msgspec.Struct, frozen=True):
    """What an answer says, accepted or rejected."""

    version: int = 0
    timestamp: int = 0
    message: str = ""


async def change(gateway: Gateway, user: User, wish: Wish) -> Accepted:
    """Merge a patch into a shadow; it is made if there is none. Raises `ApplianceError`."""
    payload = msgspec.json.encode(_Request(wish.state, wish.version, wish.client_token))
    address = Address(wish.device_id, wish.name, Verb.UPDATE)
    return await _ask(gateway, user, address, payload, lambda version: Entry("shadow.change", *_told(address, version)))


async def remove(gateway: Gateway, user: User, device_id: str, name: str) -> Accepted:
    """Delete a shadow; one that is made later goes on counting its versions. Raises `ApplianceError`."""
    address = Address(device_id, name, Verb.DELETE)
    return await _ask(gateway, user, address, b"", lambda version: Entry("shadow.delete", *_told(address, version)))


def refusal(answer: Answer) -> ApplianceError:
    """The error that a rejected request comes to."""
    return REFUSALS.get(answer.code, UnavailableError)(msgspec.json.decode(answer.payload, type=_Answered).message)


def author(user: User) -> str:
    """How the history of a shadow names somebody who signed in, or a script."""
    name = user.email.removeprefix(SCRIPT)
    return f"user {name}" if name == user.email else f"script {name}"


def check_name(name: str) -> None:
    """Raise `InvalidInputError` for what cannot be the name of a shadow; the classic one has none."""
    if name and not NAME.fullmatch(name):
        raise InvalidInputError(
            f"{name[:80]!r} cannot be the name of a shadow: expected 1 to 64 letters, digits or any of $ : _ -"
        )


def check_in_use(gateway: Gateway, user: User, device_id: str) -> None:
    """Raise `UnknownDeviceError`, or `DeviceRetiredError`: the shadows of such a device were deleted."""
    if gateway.registry.device(user.tenant_id, device_id).state is DeviceState.RETIRED:
        raise DeviceRetiredError(f"{device_id} is retired: nothing is wanted of it any more")


async def _ask(gateway: Gateway, user: User, address: Address, payload: bytes, telling: Telling) -> Accepted:
    check_in_use(gateway, user, address.device_id)
    check_name(address.name)
    answer = await gateway.shadows.ask(user.tenant_id, address, payload, author(user), telling)
    if not answer.is_accepted:
        raise refusal(answer)
    told = msgspec.json.decode(answer.payload, type=_Answered)
    return Accepted(told.version, told.timestamp * SECOND_MS)


def _told(address: Address, version: int) -> tuple[str, dict[str, str]]:
    """Of what an entry of the audit log is, and its details: what was changed is in the shadow's own history."""
    return address.device_id, {"name": address.name or "(classic)", "version": str(version)}
