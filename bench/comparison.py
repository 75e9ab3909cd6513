"""Rows of a table that sets brokers side by side, each with its target and whether ours meets it."""

from collections.abc import Sequence

from bench.contenders import AMQTT, MOSQUITTO, OWN
from bench.numbers import table

NOTHING = ""
HEAD = ("what", OWN.name, MOSQUITTO.name, AMQTT.name, "target", "met")


def text(rows: Sequence[Sequence[str]]) -> str:
    """The table, in Markdown."""
    return table(HEAD, rows)


def plain(what: str, *cells: str) -> list[str]:
    """Write a row that nothing depends on; the cells are those of the brokers in their order."""
    return [what, *cells, *[NOTHING] * (len(HEAD) - 1 - len(cells))]


def at_most(what: str, cells: Sequence[str], value: float, target: float, unit: str) -> list[str]:
    """Write a row whose value, of our broker, should be no more than the target."""
    return _judged(what, cells, f"at most {target:,g} {unit}", is_met=value <= target)


def at_least(what: str, cells: Sequence[str], value: float, target: float, unit: str) -> list[str]:
    """Write a row whose value, of our broker, should be no less than the target."""
    return _judged(what, cells, f"at least {target:,g} {unit}", is_met=value >= target)


def _judged(what: str, cells: Sequence[str], target: str, *, is_met: bool) -> list[str]:
    filled = [*cells, *[NOTHING] * (len(HEAD) - 3 - len(cells))]
    return [what, *filled, target.strip(), "yes" if is_met else "NO"]
