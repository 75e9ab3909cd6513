"""Successions make trees; whoever uses one of a tree ends all that it does not itself lead to."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.enrolment.renewal import succession
from appliance.enrolment.renewal.model import UNUSED_LIMIT, Succession
from appliance.enrolment.renewal.succession import SuccessionBook

names = st.sampled_from("abcdef")


def after(fingerprint: str, replaced: str, device_id: str = "pump-7") -> Succession:
    return Succession(1, fingerprint, replaced, device_id)


@st.composite
def forests(draw: st.DrawFn) -> tuple[list[Succession], list[str]]:
    """Certificates numbered in the order of their issue; each is renewed with one before it, or with none."""
    count = draw(st.integers(1, 9))
    found = []
    for number in range(1, count):
        parent = draw(st.none() | st.integers(0, number - 1))
        if parent is not None:
            found.append(after(str(number), str(parent)))
    return found, [str(number) for number in range(count)]


def origin(found: list[Succession], name: str) -> str:
    parents = {each.fingerprint: each.replaced for each in found}
    while name in parents:
        name = parents[name]
    return name


def used(found: list[Succession], good: set[str], name: str) -> tuple[list[Succession], set[str]]:
    """What is left when a certificate has been used."""
    ended = succession.ended_by(found, name)
    left = [each for each in found if each.fingerprint not in ended | {name}]
    return left, good - ended


@given(forests(), st.data())
def test_after_a_use_the_lineage_is_that_certificate_and_what_was_renewed_with_it(
    forest: tuple[list[Succession], list[str]], data: st.DataObject
) -> None:
    found, every = forest
    name = data.draw(st.sampled_from(every))
    _, good = used(found, set(every), name)
    for one in every:
        is_kin = origin(found, one) == origin(found, name)
        is_led_to = one == name or one in succession.renewed_with(found, name)
        is_root = origin(found, name) == name
        assert (one in good) == (not is_kin or is_led_to or is_root)


@given(forests(), st.data())
def test_whatever_is_used_in_whatever_order_one_of_each_lineage_is_left_in_the_end(
    forest: tuple[list[Succession], list[str]], data: st.DataObject
) -> None:
    """Exactly one good certificate is left of those renewed from one origin, once the last of its line is used."""
    found, every = forest
    good, left = set(every), found
    origins = {origin(found, name) for name in every}
    while left:
        # Whatever is good and waits may be used, ancestors before or after descendants.
        name = data.draw(st.sampled_from(sorted({each.fingerprint for each in left})))
        assert name in good
        left, good = used(left, good, name)
    assert {origin(found, name) for name in good} == origins
    assert len(good) == len(origins)


@given(st.lists(st.builds(after, names, names), max_size=8), names)
def test_no_certificate_ends_itself_and_only_those_of_a_succession_end(found: list[Succession], name: str) -> None:
    """Even of what no renewal can make, such as a ring."""
    ended = succession.ended_by(found, name)
    assert name not in ended
    assert ended <= {each.fingerprint for each in found} | {each.replaced for each in found}


def test_using_c_ends_a_and_b_and_what_was_renewed_with_b() -> None:
    found = [after("b", "a"), after("d", "b"), after("c", "a"), after("z", "y")]
    assert succession.ended_by(found, "c") == {"a", "b", "d"}
    assert succession.ended_by(found, "b") == {"a", "c"}
    assert succession.ended_by(found, "d") == {"a", "b", "c"}


def test_a_certificate_that_was_not_renewed_ends_nothing() -> None:
    assert succession.ended_by([after("b", "a")], "a") == frozenset()


def test_the_whole_lineage_counts_towards_the_limit() -> None:
    chain = [after(str(number + 1), str(number)) for number in range(UNUSED_LIMIT)]
    for present in map(str, range(UNUSED_LIMIT + 1)):
        assert "use one of them first" in str(succession.limit_refusal(chain, present, 0, 10))
    assert succession.limit_refusal(chain[1:], "1", 9, 10) is None
    assert succession.limit_refusal(chain, "another", 9, 10) is None
    assert "at most 10" in str(succession.limit_refusal([], "0", 10, 10))


def test_a_device_asks_for_itself_or_leaves_its_name_out() -> None:
    for name in ("", "pump-7", "pump"):
        assert succession.subject_refusal("pump-7", name, "pump") is None
    assert "'pump-8'" in str(succession.subject_refusal("pump-7", "pump-8", "pump-7"))


def test_the_book_knows_each_device_by_itself() -> None:
    book = SuccessionBook()
    first, second = after("b", "a"), after("c", "a", "pump-8")
    for each in (first, second):
        book.add(each)
    assert book.of(1, "pump-7") == (first,)
    assert book.of(2, "pump-7") == ()
    assert book.find(1, "pump-8", "c") == second
    assert book.find(1, "pump-7", "c") is None
    book.remove(1, "pump-7", ["b", "unknown"])
    book.remove(1, "pump-9", ["c"])
    assert (book.of(1, "pump-7"), book.of(1, "pump-8")) == ((), (second,))
