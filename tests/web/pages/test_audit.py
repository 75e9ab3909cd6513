from appliance.audit.model import Entry
from tests.web.house import Client, House
from web.pages import audit


async def test_an_empty_log_says_what_will_be_there(owner: Client) -> None:
    assert "Nothing has been recorded yet" in (await owner.get("/audit")).text


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
    assert 'href="/audit?before=2"' in first
    second = (await owner.get("/audit?before=2")).text
    assert "number 0." in second
    assert "Older" not in second
