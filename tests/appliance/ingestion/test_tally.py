"""However many mishaps there are, what is written down of them is small, and says as much."""

from hypothesis import example, given
from hypothesis import strategies as st

from appliance.ingestion.model import Mishap
from appliance.ingestion.tally import Tally

mishaps = st.lists(
    st.builds(
        Mishap,
        tenant_id=st.integers(1, 2),
        device_id=st.sampled_from(["", "pump"]),
        kind=st.sampled_from(["not_json", "clock_ahead"]),
        reason=st.text(max_size=2),
        at=st.integers(0, 10),
    ),
    max_size=20,
)


@given(mishaps)
def test_each_device_and_kind_is_there_once_with_its_count_its_first_moment_and_its_last_reason(
    noted: list[Mishap],
) -> None:
    tally = Tally()
    same: dict[tuple[int, str, str], list[Mishap]] = {}
    for one in noted:
        tally.note(one)
        same.setdefault((one.tenant_id, one.device_id, one.kind), []).append(one)
    told = [(*key, found[-1].reason, len(found), found[0].at, found[-1].at) for key, found in same.items()]
    assert [
        (one.tenant_id, one.device_id, one.kind, one.reason, one.count, one.at - one.lasted_ms, one.at)
        for one in tally.mishaps()
    ] == told
    assert len(tally) == len(same)


@given(mishaps, st.integers(0, 20))
@example([Mishap(1, "pump", "not_json", "", at) for at in range(5)], 2)
def test_what_was_counted_can_be_counted_on(noted: list[Mishap], border: int) -> None:
    whole, first, second, both = Tally(), Tally(), Tally(), Tally()
    for one in noted:
        whole.note(one)
    for one in noted[:border]:
        first.note(one)
    for one in noted[border:]:
        second.note(one)
    for one in (*first.mishaps(), *second.mishaps()):
        both.note(one)
    assert both.mishaps() == whole.mishaps()
