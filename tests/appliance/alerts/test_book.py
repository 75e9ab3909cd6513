import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.alerts.book import Book, Cooldowns, StateKey
from appliance.alerts.model import AlertState, Limit, Phase, Severity
from tests.appliance.alerts.examples import COOLDOWNS, Steps, limit, readings, timed

KEY = StateKey(1, 1, "pump")


def book_with(*limits: Limit) -> Book:
    book = Book(COOLDOWNS)
    book.load(limits, {})
    return book


def feed(book: Book, *steps: tuple[int, object], zone: str = "north", late: bool = False) -> list[str]:
    """Judge the readings as one batch, merge it, and tell what happened in it."""
    overlay = book.overlay()
    for at, value in steps:
        overlay.judge(1, "pump", zone, "pressure", value, at, late=late)
    book.merge(overlay)
    return [word for change in overlay.changes() for word in ("opened", "resolved", "notice") if getattr(change, word)]


@given(st.lists(st.tuples(st.integers(1, 2), st.sampled_from("abc"), st.booleans()), max_size=6))
def test_exactly_the_metrics_that_rules_are_in_force_about_are_watched(told: list[tuple[int, str, bool]]) -> None:
    book = book_with(
        *(
            msgspec.structs.replace(limit(rule_id=number), tenant_id=tenant_id, metric=metric, enabled=enabled)
            for number, (tenant_id, metric, enabled) in enumerate(told)
        )
    )
    for change in (None, *book.rules(1)):
        if change is not None:
            book.put(msgspec.structs.replace(change, enabled=not change.enabled))
        for tenant_id in range(4):
            assert book.watched(tenant_id) == {metric for metric in "abcd" if book.in_force(tenant_id, metric)}


@given(readings)
def test_an_overlay_that_is_not_merged_changes_nothing(gaps: Steps) -> None:
    book = book_with(limit(threshold=5, hold_ms=3))
    feed(book, (0, 9.0), (10, 9.0))
    before = book.states()
    overlay = book.overlay()
    for at, value in timed(gaps):
        overlay.judge(1, "pump", "", "pressure", value, at, late=False)
    assert book.states() == before


@given(readings, st.lists(st.integers(0, 40), max_size=5))
def test_how_readings_are_cut_into_batches_changes_nothing(gaps: Steps, cuts: list[int]) -> None:
    steps = timed(gaps)
    whole, sliced = (book_with(limit(threshold=5, hold_ms=3), limit(rule_id=2, threshold=7)) for _ in range(2))
    said = feed(whole, *steps)
    borders = sorted({0, len(steps), *(min(cut, len(steps)) for cut in cuts)})
    said_in_parts = [word for start, end in itertools.pairwise(borders) for word in feed(sliced, *steps[start:end])]
    assert said_in_parts == said
    assert sliced.states() == whole.states()


@given(readings, readings)
def test_late_readings_change_nothing(gaps: Steps, late_gaps: Steps) -> None:
    book = book_with(limit(threshold=5, hold_ms=3))
    feed(book, *timed(gaps))
    before = book.states()
    assert feed(book, *timed(late_gaps, start=0), late=True) == []
    assert book.states() == before


def test_what_is_not_a_finite_number_neither_breaches_nor_clears() -> None:
    book = book_with(limit())
    assert feed(book, (0, 61), (1, "40"), (2, None), (3, float("nan")), (4, False)) == ["opened", "notice"]
    assert book.firing_count(1) == 1


def test_other_metrics_and_other_tenants_are_not_judged() -> None:
    overlay = book_with(limit()).overlay()
    overlay.judge(1, "pump", "", "temperature", 99, 0, late=False)
    overlay.judge(2, "pump", "", "pressure", 99, 0, late=False)
    assert overlay.changes() == []


def test_each_device_has_its_own_state() -> None:
    book = book_with(limit(hold_ms=10))
    overlay = book.overlay()
    overlay.judge(1, "pump", "", "pressure", 99, 0, late=False)
    overlay.judge(1, "valve", "", "pressure", 99, 10, late=False)
    assert [change.device_id for change in overlay.changes()] == ["pump", "valve"]
    assert not any(change.opened for change in overlay.changes())


def test_every_rule_of_a_metric_sees_the_reading() -> None:
    book = book_with(limit(), limit(rule_id=2, threshold=70))
    assert feed(book, (0, 75)) == ["opened", "notice", "opened", "notice"]
    assert book.firing_count(1) == 2
    assert book.firing_count(2) == 0


def test_a_rule_with_zones_judges_only_devices_in_one_of_them() -> None:
    book = book_with(limit(zones=("north", "south")))
    assert feed(book, (0, 99), zone="east") == []
    assert feed(book, (1, 99), zone="south") == ["opened", "notice"]


def test_a_device_that_leaves_the_zones_of_a_rule_ends_its_alert() -> None:
    book = book_with(limit(zones=("north",)))
    feed(book, (0, 99))
    assert feed(book, (1, 99), zone="east") == ["resolved"]
    assert book.state(KEY) == AlertState(noticed_at=0)


def test_high_and_critical_share_the_shorter_cooldown() -> None:
    cooldowns = Cooldowns(high_ms=1, other_ms=2)
    assert [cooldowns.of(severity) for severity in Severity] == [2, 2, 1, 1]


def test_the_cooldown_of_a_rule_is_that_of_its_severity() -> None:
    for severity, expected in ((Severity.HIGH, 2), (Severity.LOW, 1)):
        book = book_with(limit(severity=severity))
        said = feed(book, (0, 99), (10, 0), (300, 99), (310, 0), (500, 99))
        assert said.count("notice") == expected


def test_disabling_a_rule_ends_its_alerts_and_keeps_the_cooldown() -> None:
    book = book_with(limit())
    feed(book, (0, 99))
    book.put(msgspec.structs.replace(limit(), enabled=False))
    assert book.firing_count(1) == 0
    assert book.state(KEY) == AlertState(noticed_at=0)
    assert feed(book, (1, 99)) == []
    assert [rule.enabled for rule in book.rules(1)] == [False]


def test_a_batch_that_was_judged_before_its_rule_was_disabled_is_not_merged() -> None:
    book = book_with(limit())
    overlay = book.overlay()
    overlay.judge(1, "pump", "", "pressure", 99, 0, late=False)
    book.put(msgspec.structs.replace(limit(), enabled=False))
    book.merge(overlay)
    assert book.states() == {}


def test_a_batch_that_was_judged_on_an_older_state_is_not_merged() -> None:
    book = book_with(limit())
    feed(book, (0, 99))
    overlay = book.overlay()
    overlay.judge(1, "pump", "", "pressure", 0, 1, late=False)
    book.put(msgspec.structs.replace(limit(), enabled=False))
    book.put(limit())
    feed(book, (2, 99))
    book.merge(overlay)
    assert book.state(KEY).phase is Phase.FIRING


def test_a_state_that_is_normal_and_was_never_noticed_takes_no_room() -> None:
    book = book_with(limit(hold_ms=100))
    feed(book, (0, 99))
    assert book.states()
    feed(book, (1, 0))
    assert book.states() == {}
