"""What is missing is named to those who ask about it, and to nobody else."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.telemetry.days.missing import Missing

devices = st.tuples(st.integers(1, 2), st.sampled_from("abc"))
notes = st.lists(st.tuples(st.integers(0, 6), st.none() | devices), max_size=6)


@given(
    notes, st.integers(1, 2), st.sets(st.sampled_from("abc")), st.integers(0, 7 * DAY_MS), st.integers(1, 3 * DAY_MS)
)
def test_days_are_named_that_lie_in_the_range_and_concern_whom_is_asked_about(
    noted: list[tuple[int, tuple[int, str] | None]], tenant_id: int, asked: set[str], start: int, length: int
) -> None:
    missing = Missing()
    for day, device in noted:
        missing.note(day, device)
    days = range(start // DAY_MS, (start + length - 1) // DAY_MS + 1)
    concerned = {None, *((tenant_id, device) for device in asked)}
    assert missing.between(tenant_id, asked, start, start + length) == sorted(
        {day for day, device in noted if day in days and device in concerned}
    )


@given(notes, st.integers(0, 6), devices)
def test_what_is_there_again_is_not_named(
    noted: list[tuple[int, tuple[int, str] | None]], day: int, device: tuple[int, str]
) -> None:
    missing = Missing()
    for each in noted:
        missing.note(*each)
    missing.note(day, device)
    missing.forget(day, device)
    found = missing.between(device[0], [device[1]], day * DAY_MS, day * DAY_MS + 1)
    assert found == ([day] if (day, None) in noted else [])
