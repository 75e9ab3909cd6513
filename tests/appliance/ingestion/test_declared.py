from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.declared import UNITS_LIMIT, Declared, DeclaredUnits

devices = st.sampled_from([(1, "a"), (1, "b"), (2, "a")])
units = st.dictionaries(st.sampled_from("xyz"), st.sampled_from(["bar", "Pa", "°C"]), max_size=3)


@given(st.lists(st.tuples(devices, units), max_size=12))
def test_of_each_metric_the_unit_that_was_declared_last_is_known(
    told: list[tuple[tuple[int, str], dict[str, str]]],
) -> None:
    declared = DeclaredUnits()
    expected: dict[tuple[int, str], dict[str, str]] = {}
    for device, of_report in told:
        before, count = dict(declared.of(*device)), declared.change_count
        declared.hear(*device, of_report)
        expected.setdefault(device, {}).update(of_report)
        assert (declared.change_count > count) == (before != expected[device])
    for device in ((1, "a"), (1, "b"), (2, "a")):
        assert declared.of(*device) == expected.get(device, {})


def test_of_a_device_a_bounded_number_of_metrics_is_remembered() -> None:
    declared = DeclaredUnits()
    for _ in range(2):
        declared.hear(1, "pump", {f"m{number}": "bar" for number in range(UNITS_LIMIT + 5)})
    assert (len(declared.of(1, "pump")), declared.change_count) == (UNITS_LIMIT, 1)
    declared.hear(1, "pump", {"m0": "Pa", f"m{UNITS_LIMIT}": "Pa"})
    known = declared.of(1, "pump")
    assert (known["m0"], known["m1"], f"m{UNITS_LIMIT}" in known) == ("Pa", "bar", False)


def test_what_cannot_be_printed_is_no_unit() -> None:
    declared = DeclaredUnits()
    declared.hear(1, "pump", {"a": "\ud800", "b": "a\nb", "c": "µg/m³", "\ud800": "bar"})
    assert declared.of(1, "pump") == {"c": "µg/m³"}


def test_no_number_of_devices_takes_more_than_its_room() -> None:
    declared = DeclaredUnits(devices_limit=2)
    for name in "abca":
        declared.hear(1, name, {"x": name})
    assert [dict(declared.of(1, name)) for name in "abc"] == [{"x": "a"}, {}, {"x": "c"}]


@given(st.lists(st.tuples(devices, units, st.integers(0, 3)), max_size=12))
def test_what_is_kept_now_and_then_is_all_of_it_in_the_end(
    told: list[tuple[tuple[int, str], dict[str, str], int]],
) -> None:
    declared, disk = DeclaredUnits(), dict[tuple[int, str], Declared]()

    def keep(count: int) -> None:
        news = declared.news(count)
        disk.update({(each.tenant_id, each.device_id): each for each in news})
        declared.kept(news)

    for device, of_report, kept_count in told:
        declared.hear(*device, of_report)
        keep(kept_count)
    keep(len(told))
    assert declared.news(9) == []
    again = DeclaredUnits()
    again.restore(disk.values())
    assert again.news(9) == []
    for device in ((1, "a"), (1, "b"), (2, "a")):
        assert again.of(*device) == declared.of(*device)


def test_what_is_declared_while_it_is_kept_is_still_to_be_kept() -> None:
    declared, calls = DeclaredUnits(), list[int]()
    declared.changed = lambda: calls.append(1)
    declared.hear(1, "a", {"x": "bar"})
    news = declared.news(9)
    declared.hear(1, "a", {"x": "Pa"})
    declared.hear(1, "a", {"x": "Pa"})
    declared.kept(news)
    assert (declared.news(9), len(calls)) == ([Declared(1, "a", {"x": "Pa"})], 2)


def test_what_is_forgotten_is_not_kept_and_may_be_declared_again() -> None:
    declared = DeclaredUnits()
    declared.hear(1, "a", {"x": "bar"})
    count = declared.change_count
    declared.forget(1, "a")
    declared.forget(1, "b")
    assert (declared.of(1, "a"), declared.news(9), declared.change_count) == ({}, [], count + 1)
    declared.hear(1, "a", {"x": "bar"})
    assert declared.news(9) == [Declared(1, "a", {"x": "bar"})]


def test_what_one_tenant_declares_makes_no_other_forget_all_it_has() -> None:
    declared = DeclaredUnits(devices_limit=4)
    for name in "abc":
        declared.hear(1, name, {"x": "m"})
    for number in range(9):
        declared.hear(2, f"d{number}", {"x": "m"})
    assert [bool(declared.of(1, name)) for name in "abc"].count(True) == 2
    assert [number for number in range(9) if declared.of(2, f"d{number}")][-2:] == [7, 8]
