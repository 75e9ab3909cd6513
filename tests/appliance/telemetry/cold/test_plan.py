"""What is due in the cold tier."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.telemetry.cold import plan
from appliance.telemetry.cold.model import ColdDay, Erased

TARGET = "https://s3.example/readings/cold/"
days = st.lists(
    st.builds(
        ColdDay,
        day=st.integers(0, 30),
        source=st.sampled_from(["", "x", "y"]),
        file_bytes=st.integers(0, 100),
        sha256=st.sampled_from(["", "s", "t"]),
        is_local=st.booleans(),
        uploaded_sha256=st.sampled_from(["", "s", "t"]),
        uploaded_to=st.sampled_from(["", TARGET]),
        upload_sha256=st.sampled_from(["", "s/8", "t/8"]),
        upload_to=st.sampled_from(["", TARGET]),
        erasure_number=st.integers(0, 3),
    ),
    unique_by=lambda each: each.day,
    max_size=8,
)


@given(days, st.dictionaries(st.integers(0, 30), st.sampled_from(["x", "y"])))
def test_what_is_written_as_it_is_now_is_not_written_again(known: list[ColdDay], sources: dict[int, str]) -> None:
    by_day = {each.day: each for each in known}
    due = plan.due_for_export(sources, by_day)
    assert due == sorted(due)
    done = by_day | {day: ColdDay(day, sources[day]) for day in due}
    assert plan.due_for_export(sources, done) == []


@given(days, st.integers(0, 40), st.integers(0, 10), st.integers(0, 500), st.sampled_from(["", TARGET]))
def test_files_go_the_oldest_first_until_they_fit_and_never_before_the_bucket_has_them(
    known: list[ColdDay], today: int, keep_days: int, budget: int, target: str
) -> None:
    going = plan.due_for_removal(known, today * DAY_MS, keep_days, budget, target)
    assert [each.day for each in going] == sorted(each.day for each in going)
    assert all(not target or each.uploaded_sha256 == each.sha256 for each in going)
    staying = [each for each in known if each.is_local and each.sha256 and each not in going]
    if not target:
        assert sum(each.file_bytes for each in staying) <= budget
        assert not [each for each in staying if keep_days and each.day < today - keep_days]
    assert not plan.due_for_removal(
        [each for each in known if each not in going], today * DAY_MS, keep_days, budget, target
    )


@given(days)
def test_what_was_uploaded_is_not_uploaded_again(known: list[ColdDay]) -> None:
    due = plan.due_for_upload(known, TARGET)
    assert all(each.is_local and each.sha256 for each in due)
    done = [
        msgspec.structs.replace(each, uploaded_sha256=each.sha256, uploaded_to=TARGET, upload_sha256="", upload_to="")
        if each in due
        else each
        for each in known
    ]
    assert plan.due_for_upload(done, TARGET) == []
    assert {each.day for each in known if plan.is_urgent(each, TARGET)} <= {
        each.day for each in [*due, *plan.due_for_deleting(known, TARGET)]
    } | {each.day for each in known if not each.is_local}


def test_only_what_was_asked_for_since_is_taken_out() -> None:
    erased = [Erased(1, 1, "a", is_done=True), Erased(2, 1, "b", is_done=False), Erased(3, 2, "a", is_done=True)]
    assert plan.erased_since(ColdDay(1, "", erasure_number=1), erased) == {(1, "b"), (2, "a")}


def test_a_file_is_read_when_it_has_more_than_the_sealed_day_or_another_one() -> None:
    assert plan.is_current("x", ColdDay(1, "x"))
    assert not plan.is_current("x", ColdDay(1, "x", extra_count=1))
    assert not plan.is_current("y", ColdDay(1, "x"))
    assert not plan.is_current(None, ColdDay(1, "x"))
    assert not plan.is_current("x", None)


def test_a_day_is_forgotten_when_it_is_nowhere() -> None:
    gone = ColdDay(1, "x", sha256="s", is_local=False)
    assert plan.is_forgotten(gone, None)
    assert not plan.is_forgotten(gone, "x")
    assert not plan.is_forgotten(msgspec.structs.replace(gone, uploaded_sha256="s"), None)
    assert not plan.is_forgotten(msgspec.structs.replace(gone, is_local=True), None)


@given(days)
def test_a_day_of_which_a_bucket_may_have_something_is_never_forgotten(known: list[ColdDay]) -> None:
    for each in known:
        assert not (plan.is_forgotten(each, None) and plan.holders(each))
        if not each.sha256 and TARGET in plan.holders(each):
            assert each in plan.due_for_deleting([each], TARGET)


def test_a_bucket_holds_what_was_sent_to_it_even_if_nobody_heard_that_it_arrived() -> None:
    sent = ColdDay(1, "x", sha256="s", upload_sha256="s/8", upload_to=TARGET)
    assert plan.holders(sent) == {TARGET}
    assert not plan.is_urgent(sent, TARGET)
    assert plan.is_urgent(msgspec.structs.replace(sent, sha256="t"), TARGET)
    assert not plan.is_urgent(msgspec.structs.replace(sent, sha256="t"), "another")
    assert plan.due_for_deleting([msgspec.structs.replace(sent, sha256="")], TARGET)


def test_a_bucket_that_was_set_before_is_remembered() -> None:
    known = ColdDay(1, "x", sha256="s", uploaded_sha256="s", uploaded_to="b", former="a\nc")
    assert plan.left_behind([known], "b") == ("a", "c")
    assert plan.left_behind([known], "") == ("a", "b", "c")
    assert plan.former(plan.holders(known), "b") == "a\nc"
    assert plan.is_urgent(known, "c")


def test_nothing_is_exported_while_something_is_being_erased() -> None:
    assert plan.is_pending([Erased(1, 1, "a", is_done=True), Erased(2, 1, "a", is_done=False)])
    assert not plan.is_pending([Erased(1, 1, "a", is_done=True)])
    assert plan.newest_erasure([]) == 0
    assert plan.newest_erasure([Erased(2, 1, "a", is_done=False), Erased(1, 1, "a", is_done=True)]) == 2


@given(
    st.dictionaries(st.tuples(st.integers(1, 2), st.text(max_size=2)), st.integers(0, 12), max_size=12),
    st.integers(0, 40),
    st.lists(st.integers(0, 40), max_size=6),
)
def test_a_device_is_too_old_on_a_day_when_more_days_have_passed_than_are_to_be_kept_of_it(
    keep_days_of: dict[plan.Device, int], today: int, asked: list[int]
) -> None:
    ages = plan.Ages(keep_days_of, today * DAY_MS + 1)
    for day in asked:
        assert ages.too_old(day) == {device for device, keep_days in keep_days_of.items() if today - day > keep_days}
        assert ages.mark(day) == plan.mark_of(ages.too_old(day))
