"""Whether a time server stands behind the clock of this machine.

The kernel knows: adjtimex(2) says so to anybody, if only to a process that its sandbox lets ask.
"""

import ctypes
from functools import lru_cache
from pathlib import Path
from typing import Any

SYNCHRONISED_PATH = Path("/run/systemd/timesync/synchronized")
"""There once systemd has set the clock by a time server since the start of the machine."""
AGREEMENT_MS = 10_000
_UNSYNCHRONISED = 0x40
"""STA_UNSYNC of adjtimex(2): set until a time server sets the clock, and again when it is set by hand."""


def is_synchronised(now: int) -> bool:
    """Whether a time server stands behind the clock of this machine, which shows `now` to this process."""
    kernel = _kernel()
    if kernel is None:
        # A sandbox may keep the kernel's word from us: then systemd's counts.
        return SYNCHRONISED_PATH.exists()
    is_of_kernel = abs(kernel.seconds * 1_000 - now) < AGREEMENT_MS
    return is_of_kernel and not kernel.status & _UNSYNCHRONISED


def witness() -> str:
    """Who says so: the `kernel`, or `systemd` where the kernel may not be asked."""
    return "systemd" if _kernel() is None else "kernel"


class _Timex(ctypes.Structure):
    """Struct timex of adjtimex(2)."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("maximum_error", ctypes.c_long),
        ("estimated_error", ctypes.c_long),
        ("status", ctypes.c_int),
        ("constant", ctypes.c_long),
        ("precision", ctypes.c_long),
        ("tolerance", ctypes.c_long),
        ("seconds", ctypes.c_long),
        ("microseconds", ctypes.c_long),
        ("rest", ctypes.c_byte * 256),
    )
    seconds: int
    status: int


def _kernel() -> _Timex | None:
    """What the kernel says of its clock, asked without changing anything; None when it may not be asked."""
    asked = _Timex()
    try:
        answer = _library().adjtimex(ctypes.byref(asked))
    except AttributeError:
        return None
    return None if answer < 0 else asked


@lru_cache
def _library() -> Any:
    return ctypes.CDLL(None)
