"""Whom a job is for."""

from collections.abc import Collection, Iterable, Mapping

import msgspec

from appliance.commands.jobs.plan.model import Progress, Targets
from appliance.registry.model import Device


class View(msgspec.Struct, frozen=True):
    """What is known of the devices of a job, until something of it changes."""

    change_count: int
    """Which of the registry's devices were looked at."""
    progress: Progress
    waiting: tuple[str, ...]
    """Those that have not had the work offered and take part."""
    left: tuple[str, ...] = ()
    """Those that have it queued and are none of the job's any more."""
    turn: int = 0
    """How often what is known of them had to be forgotten before they were looked at."""
    count_turn: int = 0
    """The same of their progress."""


def is_meant(device: Device, targets: Targets, named: Collection[str], found: Collection[str]) -> bool:
    """Whether a job is for a device; `named` and `found` are the devices of the targets' names and of their search."""
    return (
        device.device_id in named
        or device.device_id in found
        or device.type in targets.types
        or device.zone in targets.zones
        or not set(targets.groups).isdisjoint(device.groups)
    )


def put_off(waiting: Iterable[str], full: Mapping[str, object]) -> tuple[str, ...]:
    """Those who wait, with those last that could not take more when they were asked: nobody waits for them.

    Of these, whoever was asked longest ago comes first.
    """
    ordered = tuple(waiting)
    there = set(ordered)
    return (*(one for one in ordered if one not in full), *(one for one in full if one in there))
