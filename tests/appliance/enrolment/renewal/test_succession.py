from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.renewal import succession
from appliance.enrolment.renewal.model import Succession

names = st.sampled_from("abcdef")


def after(fingerprint: str, replaced: str) -> Succession:
    return Succession(1, fingerprint, replaced, "pump-7")


@given(st.lists(st.builds(after, names, names), max_size=8), names)
def test_no_certificate_ends_itself_and_only_those_of_a_succession_end(found: list[Succession], used: str) -> None:
    ended = succession.ended_by(found, used)
    assert used not in ended
    assert ended <= {each.fingerprint for each in found} | {each.replaced for each in found}


def test_a_renewed_certificate_ends_the_one_before_it_and_others_that_were_to_replace_it() -> None:
    found = [after("b", "a"), after("c", "a"), after("z", "y")]
    assert succession.ended_by(found, "c") == {"a", "b"}


def test_it_ends_those_long_before_it_too() -> None:
    assert succession.ended_by([after("b", "a"), after("c", "b")], "c") == {"a", "b"}


def test_a_certificate_that_was_not_renewed_ends_nothing() -> None:
    assert succession.ended_by([after("b", "a")], "a") == frozenset()


def test_a_device_asks_for_itself_or_leaves_its_name_out() -> None:
    for name in ("", "pump-7", "pump"):
        assert succession.subject_refusal("pump-7", name, "pump") is None
    assert "'pump-8'" in str(succession.subject_refusal("pump-7", "pump-8", "pump-7"))
