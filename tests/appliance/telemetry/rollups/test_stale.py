"""An hour is stale until a roll-up that was begun after its last mark is committed."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from appliance.instant import HOUR_MS
from appliance.telemetry.rollups.stale import HOURS_PER_DAY, Device, DeviceHour, Stale, by_device
from appliance.telemetry.wanted import is_wanted

DAY = 20_000
FIRST = DAY * HOURS_PER_DAY
devices = st.sampled_from([(1, "a"), (1, "b"), (2, "a")])
hours = st.sets(st.integers(FIRST, FIRST + 3), min_size=1)


class Marking(RuleBasedStateMachine):
    """Marks and roll-ups in any order, beside a plain list of what each mark still waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.stale = Stale()
        self.log_id = 0
        self.waiting: list[tuple[DeviceHour, int]] = []
        self.under_way: list[tuple[list[DeviceHour], list[tuple[DeviceHour, int]]]] = []

    @rule(device=devices, numbers=hours)
    def mark(self, device: Device, numbers: set[int]) -> None:
        self.log_id += 1
        self.stale.mark(device, numbers, self.log_id)
        self.waiting += [(DeviceHour(device, number), self.log_id) for number in numbers]

    @rule(count=st.integers(1, 5), hour=st.integers(0, 5))
    def begin(self, count: int, hour: int) -> None:
        now = (FIRST + hour) * HOUR_MS
        over = self.stale.over(DAY, now)
        assert all(number < FIRST + hour for number in over)
        # A day whose stale hours are all being rolled up may be among them.
        assert self.stale.days_over(now) in ([[DAY]] if any(over.values()) else [[DAY], []])
        assert self.stale.over(DAY + 1, now) == {}
        due = [DeviceHour(device, number) for number in sorted(over) for device in sorted(over[number])]
        rolling = {each for taken, _ in self.under_way for each in taken}
        waiting = {each for each, _ in self.waiting if each.hour < FIRST + hour}
        assert waiting - rolling <= set(due) <= waiting - rolling
        taken = due[:count]
        self.stale.begin(taken)
        self.under_way.append((taken, [each for each in self.waiting if each[0] in taken]))

    @rule(succeeds=st.booleans())
    def end(self, succeeds: bool) -> None:
        if not self.under_way:
            return
        taken, marks = self.under_way.pop(0)
        if succeeds:
            self.stale.finish(taken)
            self.waiting = [each for each in self.waiting if each not in marks]
        else:
            self.stale.fail(taken)

    @invariant()
    def what_waits_is_stale(self) -> None:
        for device in ((1, "a"), (1, "b"), (2, "a")):
            expected = {each.hour for each, _ in self.waiting if each.device == device}
            assert self.stale.hours(device, FIRST, FIRST + 4) == expected
            assert self.stale.hours(device, FIRST + 1, FIRST + 2) == expected & {FIRST + 1}
        assert self.stale.is_clean(DAY) == (not self.waiting)

    @invariant()
    def the_oldest_log_id_is_never_too_high(self) -> None:
        oldest = self.stale.oldest_log_id(DAY)
        if self.waiting:
            assert oldest is not None
            assert oldest <= min(log_id for _, log_id in self.waiting)
        else:
            assert oldest is None


Marking.TestCase.settings = settings(max_examples=60, deadline=None)
TestMarking = Marking.TestCase


def test_every_hour_of_a_day_in_doubt_is_stale() -> None:
    stale = Stale()
    stale.doubts[DAY] = 7
    assert stale.hours((1, "a"), FIRST - 2, FIRST + 2) == {FIRST, FIRST + 1}
    assert (stale.is_clean(DAY), stale.oldest_log_id(DAY)) == (False, 8)
    assert (stale.is_clean(DAY + 1), stale.oldest_log_id(DAY + 1)) == (True, None)


def test_what_was_found_damaged_is_stale_and_holds_no_log_record() -> None:
    stale = Stale()
    stale.mark((1, "a"), [FIRST], None)
    assert stale.hours((1, "a"), FIRST, FIRST + 1) == {FIRST}
    assert stale.oldest_log_id(DAY) is None


def test_hours_are_told_by_device() -> None:
    assert by_device({1: [(1, "a"), (2, "a")], 3: [(1, "a")], 4: []}, is_wanted) == {(1, "a"): {1, 3}, (2, "a"): {1}}
