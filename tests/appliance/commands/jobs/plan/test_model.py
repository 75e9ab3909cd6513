"""The nouns of plans."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs.plan.model import JobConfig, Progress, Targets

COUNTS = st.integers(0, 1_000)


@given(st.builds(Progress, *(COUNTS,) * 9))
def test_everybody_is_waiting_or_was_offered_the_work(progress: Progress) -> None:
    everybody = sum(msgspec.structs.astuple(progress))
    assert progress.waiting + progress.offered == everybody
    assert progress.open + progress.executed <= progress.offered


@pytest.mark.parametrize(
    "targets",
    [Targets(groups=("hall",)), Targets(types=("pump",)), Targets(zones=("hall",)), Targets(query="zone:hall")],
)
def test_who_is_in_something_need_not_be_named(targets: Targets) -> None:
    assert Targets(devices=("pump-1",)).are_named_only
    assert not targets.are_named_only


def test_a_configuration_comes_back_as_it_went() -> None:
    config = JobConfig(per_minute=7)
    assert msgspec.json.decode(msgspec.json.encode(config), type=JobConfig) == config
