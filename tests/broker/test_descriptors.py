import resource
from collections.abc import Iterator

import pytest

from broker.descriptors import RESERVE, allow_many, is_scarce


@pytest.fixture(autouse=True)
def limit_restored() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def set_limit(soft: int) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def test_the_last_descriptors_are_scarce() -> None:
    set_limit(1_024)
    assert [is_scarce(1_023 - RESERVE), is_scarce(1_024 - RESERVE)] == [False, True]
    set_limit(200)
    assert [is_scarce(149), is_scarce(150)] == [False, True]


def test_as_many_files_are_allowed_as_may_be() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    set_limit(min(512, wanted))
    allow_many()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
    allow_many()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
