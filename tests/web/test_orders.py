"""Which part of the ledger an address asks for."""

from hypothesis import given
from hypothesis import strategies as st

from web.orders import Ledger, Wanted, address, painting, wanted_of, without_batches, without_buttons
from web.parameters import FURTHEST

WORDS = st.dictionaries(st.sampled_from(["state", "device", "name", "batch", "before"]), st.text(max_size=200))


@given(WORDS)
def test_any_address_is_understood_and_its_own_address_means_the_same(parameters: dict[str, str]) -> None:
    wanted = wanted_of(parameters)
    assert 0 <= wanted.before <= FURTHEST
    assert wanted_of({**wanted.asked, "before": str(wanted.before)}) == wanted


def test_on_the_page_of_a_device_nothing_narrows_it_but_the_state() -> None:
    told = {"state": "open", "device": "other", "name": "x", "batch": "y", "before": "12"}
    assert wanted_of(told, device_id="pump-1") == Wanted(state="open", before=12)
    assert wanted_of({"state": "nonsense"}).state == ""


def test_an_address_tells_only_what_is_told() -> None:
    assert address("/commands", {"state": "", "name": ""}) == "/commands"
    assert address("/commands", {"state": "open", "name": "a b&c"}) == "/commands?state=open&name=a+b%26c"


def test_an_empty_ledger_is_painted_whole() -> None:
    empty = Ledger((), (), "", "", is_narrowed=False, all_address="/commands")
    painted = painting(empty)
    assert painted.parts == {}
    assert painted.whole[0].view == empty
    assert without_buttons(empty) == without_batches(empty) == empty
