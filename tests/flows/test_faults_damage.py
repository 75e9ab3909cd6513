"""Every page of every file of readings, damaged in turn: named, and never silently empty.

`./headworks test -m slow tests/flows/test_faults_damage.py` is the long form: every page of every file, in every way.
"""

from pathlib import Path

import pytest

from bench.faults_damage import KINDS, PATTERNS, SWAPPED, Damage, damaged, quiet

pytestmark = pytest.mark.timeout(240)


def require_good(found: list[Damage]) -> None:
    bad = [(each.kind, each.page, each.pattern, each.outcome) for each in found if each.outcome.isupper()]
    assert not bad
    assert {each.kind for each in found} == {kind.name for kind in KINDS}


async def test_a_damaged_page_of_any_file_is_named_and_gives_nothing_that_was_not_stored(tmp_path: Path) -> None:
    with quiet():
        found = await damaged(tmp_path, ("zeros", "noise", "half of it zeros"), in_turn=True)
    require_good(found)
    # A page of a day that readers need is damaged, so something must have been said.
    assert {each.kind for each in found if each.seen.names} >= {"open day", "sealed day"}
    # What was damaged of an open day is kept for whoever wants to get more out of it.
    assert all(each.seen.is_aside for each in found if each.kind == "open day" and each.seen.missing)


async def test_two_pages_of_any_file_that_changed_places_are_named_and_give_nothing_that_was_not_stored(
    tmp_path: Path,
) -> None:
    """Each of them is as it was written, so only where it lies tells."""
    with quiet():
        found = await damaged(tmp_path, (SWAPPED,), in_turn=True)
    require_good(found)
    assert {each.outcome for each in found if each.kind == "sealed day"} == {"named, missing", "named, all there"}
    assert {each.outcome for each in found if each.kind == "open day"} == {"named, missing"}


@pytest.mark.slow
@pytest.mark.timeout(1_800)
async def test_every_page_damaged_in_every_way_is_named_and_gives_nothing_that_was_not_stored(tmp_path: Path) -> None:
    with quiet():
        require_good(await damaged(tmp_path, tuple(PATTERNS)))
