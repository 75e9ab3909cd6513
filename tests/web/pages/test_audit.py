import re

from appliance.audit.model import Entry
from tests.web.house import Client, House
from web.pages import audit


async def test_a_search_that_finds_nothing_says_so(owner: Client) -> None:
    page = (await owner.get("/audit?subject=nobody")).text
    assert "No entry was found" in page
    assert 'value="nobody"' in page


async def test_a_search_shows_what_is_wanted_and_keeps_it_on_further_pages(owner: Client, house: House) -> None:
    for number in range(audit.PAGE_LIMIT + 1):
        await house.gateway.registry.audit.record(1, Entry("device.add", f"pump-{number}."))
    assert "Owner made" in (await owner.get("/audit?action=user.add")).text
    page = (await owner.get("/audit?actor=gateway&action=device.add")).text
    assert '<option value="device.add" selected>' in page
    [older] = re.findall(r'href="(/audit[?][^"]*before[^"]*)"', page)
    second = (await owner.get(older.replace("&amp;", "&"))).text
    assert "pump-0." in second
    assert "pump-1." not in second


def test_details_are_shown_in_words() -> None:
    told = {"zone.before": "north", "zone.after": "south", "name.before": "", "name.after": "x", "expires_at": "2030"}
    assert audit.shown(told) == {"zone": "north → south", "name": "(nothing) → x", "expires at": "2030"}
    assert audit.shown({"fingerprint": "ab" * 32}) == {"fingerprint": "abababab…abababab"}
    assert audit.shown({"body": "a b" * 100})["body"] == ("a b" * 100)[: audit.TEXT_LENGTH] + "…"


async def test_what_was_done_is_shown_in_words_and_escaped(owner: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    await owner.submit("/devices/a/bundle")
    await house.gateway.registry.audit.record(1, Entry("odd", "<img src=x>", result="refused: no"))
    page = (await owner.get("/audit")).text
    assert "Certificate issued" in page
    assert "from 127.0.0.1" in page
    assert "refused: no" in page
    assert "<img" not in page


async def test_older_entries_are_on_further_pages(owner: Client, house: House) -> None:
    for number in range(audit.PAGE_LIMIT + 1):
        await house.gateway.registry.audit.record(1, Entry("test", f"number {number}."))
    first = (await owner.get("/audit")).text
    assert "number 0." not in first
    assert 'href="/audit?before=4"' in first
    second = (await owner.get("/audit?before=4")).text
    assert "number 0." in second
    assert "Older" not in second
