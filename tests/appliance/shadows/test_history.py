import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.shadows.history import Body, Kept, KeptChange, WayBack, as_of, continued, told
from appliance.shadows.model import Address, BeforeHistoryError, Verb
from appliance.shadows.ruling import Standing, rule
from tests.appliance.shadows.test_merge import PATCHES

BEGIN = 1_800_000_000_000
STEPS = st.lists(st.tuples(st.none() | st.fixed_dictionaries({"desired": PATCHES}), st.integers(-3, 3)), max_size=8)


def lived(steps: list[tuple[dict[str, Any] | None, int]], kept_count: int = 100) -> tuple[Kept, list[Standing]]:
    """A shadow to which this was done, a deletion where a step has no patch, and all that it was."""
    standing, now, changes, was = Standing(), BEGIN, list[KeptChange](), [Standing()]
    for patch, later_ms in steps:
        now += later_ms
        verb = Verb.DELETE if patch is None else Verb.UPDATE
        ruling = rule(Address("pump", "", verb), json.dumps({"state": patch}).encode(), standing, 8_192, now)
        if ruling.standing is None or ruling.change is None:
            continue
        standing, change = ruling.standing, ruling.change
        was.append(standing)
        back = WayBack(**json.loads(change.way_back_json))
        asked = json.loads(change.patch_json)
        changes.insert(0, KeptChange(change.version, change.at, "device pump", change.kind, asked, back))
    return Kept(1, standing.version, standing.updated_at, body_of(standing), changes[:kept_count]), was


def body_of(standing: Standing) -> Body:
    kept = standing.document
    return Body({}, {}, is_there=False) if kept is None else Body(kept.state, kept.metadata, is_there=True)


@given(STEPS, st.integers(-5, 30))
def test_a_shadow_is_told_as_it_was_at_any_moment(
    steps: list[tuple[dict[str, Any] | None, int]], later_ms: int
) -> None:
    kept, was = lived(steps)
    at = BEGIN + later_ms
    expected = [one for one in was if one.version == 0 or one.updated_at <= at][-1]
    found = as_of(kept, "pump", "", at)
    if expected.document is None:
        assert found is None
    else:
        assert found is not None
        state = {"desired": found.desired, "reported": found.reported}
        assert {name: value for name, value in state.items() if value is not None} == expected.document.state
        assert found.metadata == expected.document.metadata
        assert (found.version, found.updated_at) == (expected.version, expected.updated_at)


@given(STEPS, st.integers(0, 8), st.integers(-5, 30))
def test_before_what_is_kept_nothing_is_claimed(
    steps: list[tuple[dict[str, Any] | None, int]], kept_count: int, later_ms: int
) -> None:
    whole, _ = lived(steps)
    some, _ = lived(steps, kept_count)
    at = BEGIN + later_ms
    begin_at = some.changes[-1].at if some.changes else some.updated_at
    if at < begin_at and len(some.changes) < len(whole.changes):
        with pytest.raises(BeforeHistoryError, match="begins at"):
            as_of(some, "pump", "", at)
    else:
        assert as_of(some, "pump", "", at) == as_of(whole, "pump", "", at)


def test_each_change_tells_what_it_made_of_what() -> None:
    kept, _ = lived([({"desired": {"a": 1}}, 0), ({"desired": {"a": None, "b": 2}}, 5), (None, 5)])
    gone, second, first = told(kept, None, 10)
    assert (first.version, first.kind, first.desired_before, first.desired) == (1, "updated", None, {"a": 1})
    assert (second.patch, second.desired_before, second.desired) == (
        {"desired": {"a": None, "b": 2}},
        {"a": 1},
        {"b": 2},
    )
    assert (gone.version, gone.kind, gone.desired_before, gone.desired) == (3, "deleted", {"b": 2}, None)
    assert [one.version for one in told(kept, 3, 1)] == [2]


def test_what_is_behind_a_gap_counts_for_nothing() -> None:
    kept, _ = lived([({"desired": {"a": n}}, 5) for n in range(6)])
    changes, bare = list(kept.changes), msgspec.structs.replace(kept, changes=())
    assert continued(bare, changes) == kept
    assert [one.version for one in continued(bare, changes[:2] + changes[3:]).changes] == [6, 5]
    assert continued(bare, changes[1:]).changes == []
    further = continued(msgspec.structs.replace(kept, changes=changes[:2]), changes[2:4])
    assert [one.version for one in further.changes] == [6, 5, 4, 3]
    assert further.next_version == 2
    assert (further.reaches(changes[3].at), further.reaches(changes[4].at)) == (True, False)
    assert (bare.next_version, bare.reaches(kept.updated_at), bare.reaches(kept.updated_at - 1)) == (6, True, False)
