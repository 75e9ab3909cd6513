"""Whether what a search finds is what somebody meant to erase: a search that was mistyped erases nothing."""

from collections.abc import Sequence

import msgspec

from appliance.errors import ConflictError, InvalidInputError, NotFoundError

DEVICES_LIMIT = 1_000
"""So many devices are erased by one search."""

NAMES_TOLD = 10


class NotAsExpectedError(ConflictError):
    """A search finds others than it was expected to."""

    code = "not_as_expected"


class Agreement(msgspec.Struct, frozen=True):
    """What somebody expects to be found; None where they do not say."""

    count: int | None = None
    device_ids: frozenset[str] | None = None
    """Every one of them."""


def require_agreed(found: Sequence[str], agreed: Agreement) -> None:
    """Raise what tells why these devices are not to be erased.

    `NotFoundError` when there are none, `InvalidInputError` when nothing was expected or they are too many, and
    `NotAsExpectedError` when they are others than was expected.
    """
    if not found:
        raise NotFoundError("the search finds no device: nothing was erased")
    if len(found) > DEVICES_LIMIT:
        raise InvalidInputError(
            f"the search finds {len(found):,} devices, and at most {DEVICES_LIMIT:,} are erased at once: search for"
            " fewer. Nothing was erased."
        )
    told = f"the search finds {counted(len(found))}"
    if agreed.count is None and agreed.device_ids is None:
        raise InvalidInputError(f"{told} ({named(found)}): say how many you expect. Nothing was erased.")
    if agreed.count is not None and agreed.count != len(found):
        raise NotAsExpectedError(f"{told} ({named(found)}), and {agreed.count:,} were expected: nothing was erased")
    if agreed.device_ids is None:
        return
    if more := [device_id for device_id in found if device_id not in agreed.device_ids]:
        raise NotAsExpectedError(f"the search finds {named(more)}, too, which was not expected: nothing was erased")
    if missing := sorted(agreed.device_ids.difference(found)):
        raise NotAsExpectedError(f"the search does not find {named(missing)}: nothing was erased")


def counted(count: int) -> str:
    """So many devices, in words."""
    return "1 device" if count == 1 else f"{count:,} devices"


def named(device_ids: Sequence[str]) -> str:
    """Devices by their names; of many the first ones."""
    told = ", ".join(device_id[:128] for device_id in device_ids[:NAMES_TOLD])
    more = len(device_ids) - NAMES_TOLD
    return f"{told} and {more:,} more" if more > 0 else told
