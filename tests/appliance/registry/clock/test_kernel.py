"""Whether a time server stands behind the clock of this machine."""

import time

from appliance.instant import DAY_MS
from appliance.registry.clock.kernel import SYNCHRONISED_PATH, is_synchronised


def test_a_clock_that_is_not_the_kernels_has_nobody_behind_it() -> None:
    now = time.time_ns() // 1_000_000
    assert not is_synchronised(now + 800 * DAY_MS) or SYNCHRONISED_PATH.exists()


def test_the_kernel_gives_the_same_answer_twice() -> None:
    now = time.time_ns() // 1_000_000
    assert is_synchronised(now) == is_synchronised(now)
