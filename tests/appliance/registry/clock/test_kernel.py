"""Whether a time server stands behind the clock of this machine."""

import subprocess
import sys
import time

import pytest

from appliance.instant import DAY_MS
from appliance.registry.clock import kernel
from appliance.registry.clock.kernel import SYNCHRONISED_PATH, is_synchronised

CANNOT_FILTER = 3
FORBIDDEN = """
import ctypes, platform, struct, sys, time
# As ProtectClock= of systemd does: adjtimex (159) and clock_adjtime (305) of x86-64 answer EPERM.
program = b"".join(struct.pack("HBBI", *step) for step in (
    (0x20, 0, 0, 0), (0x15, 1, 0, 159), (0x15, 0, 1, 305), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)))
steps = ctypes.create_string_buffer(program)
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))
library = ctypes.CDLL(None)
told = Program(5, ctypes.addressof(steps))
if platform.machine() != "x86_64" or library.prctl(38, 1, 0, 0, 0) or library.prctl(22, 2, ctypes.byref(told), 0, 0):
    sys.exit(3)
from appliance.registry.clock import kernel
print(kernel.witness(), kernel.is_synchronised(time.time_ns() // 1_000_000))
"""


def test_a_clock_that_is_not_the_kernels_has_nobody_behind_it() -> None:
    now = time.time_ns() // 1_000_000
    assert not is_synchronised(now + 800 * DAY_MS) or SYNCHRONISED_PATH.exists()


def test_the_kernel_gives_the_same_answer_twice() -> None:
    now = time.time_ns() // 1_000_000
    assert is_synchronised(now) == is_synchronised(now)


def test_who_was_asked_is_the_kernel_where_it_may_be_asked() -> None:
    assert kernel.witness() == ("systemd" if kernel._kernel() is None else "kernel")


def test_where_the_kernel_may_not_be_asked_systemd_is_and_it_is_said() -> None:
    done = subprocess.run([sys.executable, "-c", FORBIDDEN], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode == CANNOT_FILTER:
        pytest.skip("this machine lets nobody filter system calls, or is of another kind than the filter is for")
    assert done.stdout.split() == ["systemd", str(kernel.SYNCHRONISED_PATH.exists())], done.stderr
