from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.importing.known import Known, Moment, lefts, unknown_moments
from appliance.telemetry.model import Report
from tests.appliance.telemetry.reports import NOON, report

some = st.builds(
    report,
    st.sampled_from("ab"),
    st.integers(NOON, NOON + 2),
    values=st.dictionaries(st.sampled_from("xyz"), st.integers(0, 1), min_size=1),
    sequence=st.none() | st.integers(0, 2),
)


def taken(before: list[Report], batches: list[list[Report]]) -> list[Report]:
    """What an import takes, batch after batch, where others stand already."""
    store = list(before)
    last: Known | None = None
    fresh: list[Report] = []
    for batch in batches:
        stored: dict[Moment, list[Report]] = {}
        wanted = unknown_moments(batch, last)
        for each in store:
            if (each.device_id, each.at) in wanted:
                stored.setdefault((each.device_id, each.at), []).append(each)
        left, last = lefts(batch, stored, last)
        assert len(left) == len(batch)
        store += [each for each in left if each is not None]
        fresh += [each for each in left if each is not None]
    return fresh


@given(st.lists(some, max_size=6), st.lists(some, max_size=12), st.lists(st.integers(0, 12), max_size=4))
def test_what_is_taken_does_not_depend_on_the_batches(
    before: list[Report], table: list[Report], cuts: list[int]
) -> None:
    table.sort(key=lambda each: (each.device_id, each.at))
    edges = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
    batches = [table[low:high] for low, high in pairwise(edges)]
    at_once = taken(before, [table])
    assert taken(before, batches) == at_once
    # And a second time there is nothing to take.
    assert taken([*before, *at_once], batches) == []


@given(st.lists(st.dictionaries(st.sampled_from("xyz"), st.integers(0, 1), min_size=1), max_size=6), some)
def test_a_report_without_a_number_is_there_when_all_its_readings_are(
    stored: list[dict[str, int]], told: Report
) -> None:
    before = [report(told.device_id, told.at, values=values, sequence=9) for values in stored]
    left = Known((told.device_id, told.at), before).left_of(told)
    if told.sequence is None:
        is_held = told.values.items() <= {item for values in stored for item in values.items()}
        assert (left is None) is is_held
    else:
        assert left == told
