"""Whom a job is for."""

from collections.abc import Collection, Sequence

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


def is_meant(device: Device, targets: Targets, named: Collection[str], found: Collection[str]) -> bool:
    """Whether a job is for a device; `named` and `found` are the devices of the targets' names and of their search."""
    return (
        device.device_id in named
        or device.device_id in found
        or device.type in targets.types
        or device.zone in targets.zones
        or not set(targets.groups).isdisjoint(device.groups)
    )


def put_off(view: View, full: Sequence[str]) -> View:
    """The same with those last that cannot take more at present: nobody waits for them."""
    last = set(full)
    waiting = [one for one in view.waiting if one not in last] + [one for one in view.waiting if one in last]
    return msgspec.structs.replace(view, waiting=tuple(waiting))
