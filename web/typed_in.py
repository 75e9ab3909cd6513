"""What is typed into the fields of a form, read one field at a time; what is wrong is kept beside its field. Pure."""

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TypeVar

from appliance.errors import InvalidInputError
from appliance.telemetry.asking.edges import zone_of

SHOWN_LENGTH = 40
"""How much of what was typed a complaint repeats."""

N = TypeVar("N", int, float)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WHOLE = re.compile(r"[-+]?[0-9]{1,18}")


class Reading:
    """The fields of one form, and what is wrong with them."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = fields
        self.complaints: dict[str, str] = {}
        """By the name of the field: why it is not taken, as a sentence without its first capital and full stop."""

    def text(self, name: str) -> str:
        """What was typed, without the spaces around it."""
        return self._fields.get(name, "").strip()

    def complain(self, name: str, why: str) -> None:
        """Keep what is wrong with a field; what was found first stays."""
        self.complaints.setdefault(name, why)

    def several(self, name: str) -> tuple[str, ...]:
        """Words with commas or lines between them, each once."""
        parts = re.split(r"[,\n]", self._fields.get(name, ""))
        return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))

    def choice(self, name: str, known: Mapping[str, str]) -> str:
        """One of the values of a list; the first for nothing typed, and for anything else with a complaint."""
        text = self.text(name)
        if text in known:
            return text
        if text:
            self.complain(name, f"{text[:SHOWN_LENGTH]!r} is none of the choices")
        return next(iter(known))

    def whole(self, name: str, least: float = -math.inf, greatest: float = math.inf) -> int | None:
        """A whole number within bounds; None for nothing typed, or for what is none, with a complaint."""
        text = self.text(name).replace(" ", "")
        if not text:
            return None
        if not _WHOLE.fullmatch(text):
            self.complain(name, f"{text[:SHOWN_LENGTH]!r} is no whole number")
            return None
        return self._bounded(name, int(text), least, greatest)

    def number(self, name: str, least: float = -math.inf, greatest: float = math.inf) -> float | None:
        """A number within bounds; None for nothing typed, or for what is none, with a complaint."""
        text = self.text(name).replace(",", ".")
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self.complain(name, f"{text[:SHOWN_LENGTH]!r} is no number")
            return None
        return self._bounded(name, number, least, greatest)

    def moment(self, name: str, zone: tzinfo) -> int | None:
        """A moment as the clocks of a zone show it; None for nothing typed, or for what is none, with a complaint."""
        text = self.text(name)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                moment = moment.replace(tzinfo=zone)
            return (moment - _EPOCH) // timedelta(milliseconds=1)
        except (ValueError, OverflowError):
            self.complain(name, f"{text[:SHOWN_LENGTH]!r} is no moment such as 2026-05-01T22:30")
            return None

    def zone(self, name: str) -> tzinfo:
        """A time zone by its name; UTC for nothing typed, or for what is none, with a complaint."""
        try:
            return zone_of(self.text(name) or "UTC")
        except InvalidInputError as error:
            self.complain(name, str(error))
            return UTC

    def _bounded(self, name: str, number: N, least: float, greatest: float) -> N | None:
        if least <= number <= greatest:
            return number
        self.complain(name, outside(number, least, greatest))
        return None


def outside(number: float, least: float, greatest: float) -> str:
    """Why a number that is not within these bounds is not taken."""
    if math.isinf(least):
        return f"{number:g} is more than {greatest:g}"
    if math.isinf(greatest):
        return f"{number:g} is less than {least:g}"
    return f"{number:g} is not within {least:g} and {greatest:g}"
