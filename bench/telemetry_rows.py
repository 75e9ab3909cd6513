"""Rows of the tables of telemetry, each with its target and whether it is met."""

import msgspec

HEAD = ("what", "measured", "target", "met")
STOLEN = "taken from that core by other virtual machines"
"""Why a figure may be worse than the gateway is."""


class Target(msgspec.Struct, frozen=True):
    """No more than this is to be measured."""

    most: float
    unit: str
    digits: int = 1

    def said(self, value: float) -> str:
        """The value with its unit."""
        return said(value, self.unit, self.digits)

    def verdict(self, value: float) -> list[str]:
        """The target, and whether it is met."""
        return [f"at most {self.most:,g} {self.unit}".strip(), "yes" if value <= self.most else "NO"]


def judged(what: str, value: float, target: Target) -> list[str]:
    """Write a row whose value should be no more than the target."""
    return [what, target.said(value), *target.verdict(value)]


def plain(what: str, value: str) -> list[str]:
    """Write a row that nothing depends on."""
    return [what, value, "", ""]


def said(value: float, unit: str, digits: int = 1) -> str:
    """A number with its unit."""
    return f"{value:,.{digits}f} {unit}".strip()
