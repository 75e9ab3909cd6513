"""Every page of every file of readings, damaged in turn: named, and never silently empty."""

from pathlib import Path

import pytest

from bench.faults_damage import KINDS, damaged, quiet

pytestmark = pytest.mark.timeout(240)


async def test_a_damaged_page_of_any_file_is_named_and_gives_nothing_that_was_not_stored(tmp_path: Path) -> None:
    with quiet():
        found = await damaged(tmp_path, ("zeros", "noise", "half of it zeros"), in_turn=True)
    bad = [(each.kind, each.page, each.pattern, each.outcome) for each in found if each.outcome.isupper()]
    assert not bad
    assert {each.kind for each in found} == {kind.name for kind in KINDS}
    # A page of a day that readers need is damaged, so something must have been said.
    assert {each.kind for each in found if each.seen.names} >= {"open day", "sealed day"}
    # What was damaged of an open day is kept for whoever wants to get more out of it.
    assert all(each.seen.is_aside for each in found if each.kind == "open day" and each.seen.missing)
