from typing import Any

from appliance.shadows.difference import Kind
from appliance.shadows.model import ChangeKind, Shadow, ShadowChange
from web.shadow_view import LINES_LIMIT, LISTED_LINES, DiffLine, LeafTime, Times, diff, documents, history, times

AT = 1_795_230_014_000


def shadow(desired: dict[str, Any] | None, reported: dict[str, Any] | None, **metadata: Any) -> Shadow:
    return Shadow("pump", "", 5, desired, reported, metadata, AT)


def change(before: dict[str, Any] | None, after: dict[str, Any] | None, **more: Any) -> ShadowChange:
    told = {"reported": None, "reported_before": None, "kind": ChangeKind.UPDATED, **more}
    return ShadowChange(version=3, at=AT, author="device pump", patch={}, desired=after, desired_before=before, **told)


def test_the_delta_is_told_as_what_is_desired_beside_what_is_reported() -> None:
    view = documents("pump", "", shadow({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": 3, "c": 2, "x": 9}, "y": 1}))
    assert view.differs.lines == (
        DiffLine(Kind.CHANGED, "a.b", "3", "1"),
        DiffLine(Kind.ADDED, "d", "", "[1]"),
    )
    assert '"b": 1' in view.delta
    assert '"c"' not in view.delta


def test_a_value_that_is_reported_false_is_one_and_none_is_none() -> None:
    [line] = documents("pump", "", shadow({"on": True}, {"on": False})).differs.lines
    assert (line.kind, line.before, line.after) == (Kind.CHANGED, "false", "true")


def test_a_shadow_that_is_not_there_holds_nothing() -> None:
    view = documents("pump", "display", None)
    assert not view.is_there
    assert (view.desired, view.reported, view.delta) == ("", "", "")


def test_each_value_has_the_moment_at_which_it_was_set_and_an_array_its_newest() -> None:
    state = {"a": {"timestamp": 1}, "b": [1, {"c": 2}], "d": "x", "e": {}}
    stamps = {
        "a": {"timestamp": {"timestamp": 10}},
        "b": [{"timestamp": 11}, {"c": {"timestamp": 12}}],
        "d": {"timestamp": 13},
        "e": {},
    }
    assert list(times(state, stamps)) == [
        LeafTime("a.timestamp", 10_000),
        LeafTime("b", 12_000),
        LeafTime("d", 13_000),
    ]
    assert list(times(state, None)) == []
    assert list(times(None, stamps)) == []


def test_every_kind_of_line_has_a_sign_of_its_own() -> None:
    lines = diff({"a": 1, "b": 1}, {"a": 2, "c": 1}).lines
    assert [(line.sign, line.path) for line in lines] == [("~", "a"), ("\u2212", "b"), ("+", "c")]


def test_lines_that_are_too_many_and_values_that_are_too_long_are_cut_and_said_so() -> None:
    found = diff({}, {f"k{number}": "x" * 1_000 for number in range(LINES_LIMIT + 7)})
    assert (len(found.lines), found.more_count, found.line_count) == (LINES_LIMIT, 7, LINES_LIMIT + 7)
    assert found.lines[0].after.endswith("…")
    assert len(found.lines[0].after) < 300


def test_a_list_of_changes_and_the_moments_of_values_are_bounded_too() -> None:
    many = {f"k{number}": number for number in range(LINES_LIMIT + 7)}
    [listed] = history([change(None, many)], None)
    assert (len(listed.desired.lines), listed.desired.line_count) == (LISTED_LINES, LINES_LIMIT + 7)
    assert listed.words == f"{LINES_LIMIT + 7} desired"
    stamps = {key: {"timestamp": 1} for key in many}
    stamped = {"desired": stamps, "reported": {"a": {"timestamp": 2}}}
    times_of = documents("pump", "", Shadow("pump", "", 5, many, {"a": 1}, stamped, AT))
    assert (len(times_of.desired_times.shown), times_of.desired_times.more_count) == (LINES_LIMIT, 7)
    assert times_of.reported_times == Times((LeafTime("a", 2_000),))


def test_a_change_says_in_short_what_it_was() -> None:
    deleted = change({"a": 1}, None, kind=ChangeKind.DELETED)
    both = change({"a": 1}, {"a": 2, "b": 3}, reported={"x": 1})
    assert [one.words for one in history([deleted, both, change(None, None)], None)] == [
        "deleted",
        "2 desired, 1 reported",
        "nothing changed",
    ]


def test_only_what_was_desired_and_is_not_now_can_be_restored() -> None:
    now = {"a": 2}
    found = history([change(None, {"a": 1}), change(None, {"a": 2.0}), change({"a": 1}, None)], now)
    assert [one.may_restore for one in found] == [True, False, False]
