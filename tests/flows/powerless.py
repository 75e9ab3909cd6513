"""Where nothing can be mounted, no power is cut and no disk gets full: that must not look as though it had been."""

from typing import NoReturn

import pytest

NOT_DONE = "no power was cut, and no disk got full"


def not_done(why: object) -> NoReturn:
    """Leave a test out; the end of the run says so where nobody overlooks it."""
    pytest.skip(f"{NOT_DONE}: {why}")
