from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.steps import FEW, steps


@given(
    st.lists(st.integers(-9, 9), min_size=2, max_size=2 * FEW)
    | st.integers(2, 3 * FEW).map(lambda count: [*range(count)]),
    st.integers(0, 40),
)
def test_steps_are_left_out_only_where_they_spread_as_far(values: list[int], spread: int) -> None:
    every = [after - before for before, after in pairwise(values)]
    found = steps(values, spread)
    assert found in ([], every)
    if found:
        assert max(every[: FEW - 1]) - min(every[: FEW - 1]) < spread
    else:
        assert max(every) - min(every) >= spread
