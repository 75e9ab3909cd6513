import asyncio
import html
import re
import sqlite3
import threading
from typing import Any

import pytest

from appliance.instant import to_text
from appliance.registry.model import DeviceState
from appliance.shadows import service
from appliance.shadows.model import Shadow
from appliance.store.database import Work
from tests.web.house import Client, House
from tests.web.shadows import report, say
from web import shadow_view
from web.pages import shadow as page
from web.painting import Stage
from web.shadow_view import LISTED_LINES, Documents

PATH = "/devices/pump/shadow"


@pytest.fixture(autouse=True)
async def _pump(house: House) -> None:
    await house.add_device("pump", name="Pump house 1")


def hidden(text: str, name: str) -> str:
    """The value of a hidden field."""
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, name
    return html.unescape(found[1])


def typed(text: str) -> str:
    """What stands in the form."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", text, re.DOTALL)
    assert found
    return html.unescape(found[1])


async def opened(owner: Client, name: str = "") -> dict[str, str]:
    """The form as a browser has it after opening the page."""
    text = (await owner.get(PATH, params={"name": name} if name else {})).text
    return {"name": name, "base": hidden(text, "base"), "version": hidden(text, "version"), "desired": typed(text)}


async def current(house: House, name: str = "") -> Shadow:
    shadow = await house.gateway.shadows.shadow(1, "pump", name)
    assert shadow is not None
    return shadow


async def test_without_a_shadow_the_page_says_how_one_begins(owner: Client) -> None:
    text = (await owner.get(PATH)).text
    assert "No shadow here yet" in text
    assert "$aws/things/pump/shadow/update" in text
    assert typed(text) == "{}"
    named = (await owner.get(PATH, params={"name": "display"})).text
    assert "$aws/things/pump/shadow/name/display/update" in named


async def test_desired_reported_and_delta_stand_side_by_side_with_who_changed_it_last(
    owner: Client, house: House
) -> None:
    await say(house, "pump", {"desired": {"interval": 30, "mode": "auto"}}, author="user maria@example.com")
    await report(house, "pump", {"interval": 60, "mode": "auto"})
    text = html.unescape((await owner.get(PATH)).text)
    assert "Version 2" in text
    assert "<b>device pump</b>" in text
    assert '"interval": 30' in text
    assert '"interval": 60' in text
    assert "1 differs" in text
    assert "<del>60</del>" in text
    assert "When each value was set" in text


async def test_what_is_saved_becomes_a_patch_that_takes_away_what_was_left_out(owner: Client, house: House) -> None:
    await say(house, "pump", {"desired": {"a": 1, "b": {"c": 2, "d": 3}}, "reported": {"a": 1}})
    form = await opened(owner)
    answer = await owner.submit(PATH, {**form, "desired": '{"b": {"c": 2, "e": 4}}'})
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{PATH}?saved=2"
    assert (await current(house)).desired == {"b": {"c": 2, "e": 4}}
    assert (await current(house)).reported == {"a": 1}
    [last] = await house.gateway.shadows.history(1, "pump", "", None, 1)
    assert last.patch == {"desired": {"a": None, "b": {"d": None, "e": 4}}}
    assert last.author == "user owner@example.com"
    assert "Saved as version 2." in (await owner.get(answer.headers["location"])).text


async def test_the_classic_and_a_named_shadow_are_edited_apart(owner: Client, house: House) -> None:
    form = await opened(owner, "display")
    answer = await owner.submit(PATH, {**form, "desired": '{"colour": "blue"}'})
    assert answer.headers["location"] == f"{PATH}?name=display&saved=1"
    assert await house.gateway.shadows.shadow(1, "pump", "") is None
    text = (await owner.get(PATH)).text
    assert 'href="/devices/pump/shadow?name=display"' in text
    assert "Classic" in text


async def test_who_wants_what_is_there_makes_no_version(owner: Client, house: House) -> None:
    await say(house, "pump", {"desired": {"a": 1}})
    form = await opened(owner)
    answer = await owner.submit(PATH, {**form, "desired": '{"a": 1.0}'})
    assert answer.headers["location"] == f"{PATH}?saved=0"
    assert (await current(house)).version == 1
    assert "nothing was changed" in (await owner.get(answer.headers["location"])).text


async def test_nothing_wanted_takes_the_section_away(owner: Client, house: House) -> None:
    await say(house, "pump", {"desired": {"a": 1}, "reported": {"a": 1}})
    await owner.submit(PATH, {**await opened(owner), "desired": ""})
    assert (await current(house)).desired is None
    assert "Nothing is desired." in (await owner.get(PATH)).text


@pytest.mark.parametrize(
    ("desired", "status", "complaint"),
    [
        ('{\n "a": 1,\n}', 400, "Line 3, column 1"),
        ('{"a": null}', 400, "A is null: leave out what is not wanted"),
        ("[1]", 400, "Expected an object in braces, got an array"),
        ('{"a": "' + "x" * 9_000 + '"}', 413, "The payload exceeds the maximum size allowed"),
        ('{"a":' * 9 + "1" + "}" * 9, 400, "JSON contains too many levels of nesting"),
    ],
)
async def test_what_cannot_be_desired_comes_back_with_the_reason_and_changes_nothing(
    owner: Client, house: House, desired: str, status: int, complaint: str
) -> None:
    await say(house, "pump", {"desired": {"kept": True}})
    form = await opened(owner)
    answer = await owner.submit(PATH, {**form, "desired": desired})
    assert answer.status_code == status
    assert complaint in html.unescape(answer.text)
    assert typed(answer.text) == desired
    assert 'aria-invalid="true"' in answer.text
    assert hidden(answer.text, "base") == form["base"]
    assert (await current(house)).version == 1


async def test_a_change_of_desired_meanwhile_is_told_with_both_versions_and_what_it_was(
    owner: Client, house: House
) -> None:
    await say(house, "pump", {"desired": {"mode": "auto", "interval": 30}})
    form = await opened(owner)
    await report(house, "pump", {"interval": 60})
    await say(house, "pump", {"desired": {"mode": "hand"}}, author="user maria@example.com")
    mine = '{"mode": "auto", "interval": 15}'
    answer = await owner.submit(PATH, {**form, "desired": mine})
    text = html.unescape(answer.text)
    assert answer.status_code == 409
    assert "You began with version 1; it is version 3 by now" in text
    assert '<del>"auto"</del>' in text
    assert '<ins>"hand"</ins>' in text
    assert "Yours would change it to:" in text
    assert "<del>30</del>" in text
    assert "<ins>15</ins>" in text
    assert typed(answer.text) == mine
    assert (await current(house)).desired == {"mode": "hand", "interval": 30}
    again = {
        "name": "",
        "desired": mine,
        "base": hidden(answer.text, "base"),
        "version": hidden(answer.text, "version"),
    }
    assert (await owner.submit(PATH, again)).status_code == 303
    assert (await current(house)).desired == {"mode": "auto", "interval": 15}


async def test_what_the_device_reports_meanwhile_is_no_conflict(owner: Client, house: House) -> None:
    await say(house, "pump", {"desired": {"interval": 30}})
    form = await opened(owner)
    for interval in range(5):
        await report(house, "pump", {"interval": interval})
    assert (await owner.submit(PATH, {**form, "desired": '{"interval": 15}'})).status_code == 303
    assert (await current(house)).version == 7


def slip_in(house: House, count: int) -> None:
    """Have the device report between the look at the shadow and its change, so many times."""
    shadows = house.gateway.shadows
    together, left = shadows.together, [count]

    async def slipping(work: Work) -> None:
        if left[0] > 0:
            left[0] -= 1
            shadows.together = together
            await report(house, "pump", {"left": left[0]})
            shadows.together = slipping
        await together(work)

    shadows.together = slipping


async def test_a_report_that_slips_in_between_is_no_conflict(owner: Client, house: House) -> None:
    form = await opened(owner)
    await report(house, "pump", {"left": 9})
    slip_in(house, 2)
    assert (await owner.submit(PATH, {**form, "desired": '{"interval": 15}'})).status_code == 303
    assert (await current(house)).desired == {"interval": 15}
    assert (await current(house)).version == 4


async def test_who_cannot_save_for_all_the_reports_is_told_and_keeps_what_was_typed(
    owner: Client, house: House
) -> None:
    form = await opened(owner)
    await report(house, "pump", {"left": 99})
    slip_in(house, 99)
    answer = await owner.submit(PATH, {**form, "desired": '{"interval": 15}'})
    assert answer.status_code == 409
    assert "The shadow changes all the time" in answer.text
    assert typed(answer.text) == '{"interval": 15}'


async def test_two_who_save_at_once_do_not_both_win(owner: Client, house: House) -> None:
    await say(house, "pump", {"desired": {"a": 0}})
    form = await opened(owner)
    wishes = [{**form, "desired": f'{{"a": {number}}}'} for number in range(1, 9)]
    answers = await asyncio.gather(*(owner.submit(PATH, wish) for wish in wishes))
    statuses = [answer.status_code for answer in answers]
    assert sorted(statuses) == [303] + [409] * 7
    assert (await current(house)).desired == {"a": 1 + statuses.index(303)}


async def test_every_change_is_listed_with_what_it_changed_newest_first(owner: Client, house: House) -> None:
    await report(house, "pump", {"interval": 60})
    await say(house, "pump", {"desired": {"interval": 30}}, author="user maria@example.com")
    await report(house, "pump", {"interval": None})
    text = (await owner.get(PATH)).text
    listed = re.findall(r'id="change-(\d+)"', text)
    assert listed == ["3", "2", "1"]
    assert "by user maria@example.com" in text
    assert 'class="removed"' in text
    assert 'class="added"' in text


async def test_the_history_goes_on_page_by_page(owner: Client, house: House) -> None:
    for number in range(25):
        await report(house, "pump", {"n": number})
    text = (await owner.get(PATH)).text
    assert re.findall(r'id="change-(\d+)"', text) == [str(number) for number in range(25, 5, -1)]
    assert 'href="/devices/pump/shadow?before=6#history"' in text
    older = (await owner.get(f"{PATH}?before=6")).text
    assert re.findall(r'id="change-(\d+)"', older) == ["5", "4", "3", "2", "1"]
    assert ">Newest<" in older
    assert ">Older<" not in older


async def test_what_was_desired_once_is_shown_with_what_it_would_change_and_restored(
    owner: Client, house: House
) -> None:
    await say(house, "pump", {"desired": {"mode": "auto", "interval": 30}})
    await say(house, "pump", {"desired": {"mode": "hand", "interval": None}})
    assert f"{PATH}?restore=1#edit" in (await owner.get(PATH)).text
    text = (await owner.get(f"{PATH}?restore=1")).text
    assert "Restore what was desired in version 1" in text
    assert '<ins>"auto"</ins>' in html.unescape(text)
    assert (await current(house)).version == 2, "looking at it must change nothing"
    form = {key: hidden(text, key) for key in ("name", "base", "version")}
    assert (await owner.submit(PATH, {**form, "desired": typed(text)})).status_code == 303
    assert (await current(house)).desired == {"mode": "auto", "interval": 30}
    assert (await current(house)).version == 3


async def test_a_version_that_is_not_kept_cannot_be_restored(owner: Client, house: House) -> None:
    await say(house, "pump", {"desired": {"a": 1}})
    text = (await owner.get(f"{PATH}?restore=77")).text
    assert "What was desired in version 77 is not known any more" in text
    assert typed(text) == '{\n  "a": 1\n}'


async def test_the_shadow_is_shown_as_it_was_at_a_moment(owner: Client, house: House) -> None:
    await report(house, "pump", {"interval": 60})
    [first] = await house.gateway.shadows.history(1, "pump", "", None, 1)
    while house.clock() <= first.at:
        pass
    await report(house, "pump", {"interval": 30})
    link = re.findall(r'href="([^"]*at=[^"]*)"', (await owner.get(PATH)).text)[-1]
    text = html.unescape((await owner.get(html.unescape(link))).text)
    assert "Version 1, of" in text
    assert '"interval": 60' in text
    assert '"interval": 30' not in re.sub(r'(?s)<section class="card" id="history".*', "", text)
    assert "ws-connect" not in text
    assert "There was no such shadow then" not in text
    early = (await owner.get(f"{PATH}?at=1999-01-01T00:00")).text
    assert "There was no such shadow then" in early
    assert "is no moment" in (await owner.get(f"{PATH}?at=yesterday")).text


async def test_a_shadow_is_deleted_and_its_history_stays(owner: Client, house: House) -> None:
    await report(house, "pump", {"interval": 60})
    answer = await owner.submit(f"{PATH}/remove", {"name": ""})
    assert (answer.status_code, answer.headers["location"]) == (303, PATH)
    text = (await owner.get(PATH)).text
    assert "Deleted, version 2" in text
    assert "No shadow here yet" in text
    assert re.findall(r'id="change-(\d+)"', text) == ["2", "1"]
    assert (await owner.submit(f"{PATH}/remove", {"name": ""})).status_code == 404


async def test_what_a_device_says_is_text_on_the_page(owner: Client, house: House) -> None:
    evil = "<img src=x onerror=alert(1)>"
    await report(house, "pump", {evil: {"b": evil}})
    await say(house, "pump", {"desired": {"c": evil}})
    text = (await owner.get(PATH)).text
    assert evil not in text
    assert "&lt;img src=x" in text


def make_viewers(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE user SET role = 'viewer' WHERE tenant_id = 1")


async def test_who_may_only_look_is_shown_no_form(owner: Client, house: House) -> None:
    await say(house, "pump", {"desired": {"a": 1}})
    await say(house, "pump", {"desired": {"a": 2}})
    for text in ("Edit desired", "shadow/remove", "restore=1"):
        assert text in (await owner.get(PATH)).text
    await house.gateway.accounts._database.write(make_viewers)
    seen = (await owner.get(PATH)).text
    assert "Reported" in seen
    for text in ("Edit desired", "shadow/remove", "restore=1", "Another shadow"):
        assert text not in seen
    assert (await owner.submit(PATH, {"desired": "{}"})).status_code == 403
    assert (await owner.submit(f"{PATH}/remove")).status_code == 403
    assert (await current(house)).version == 2


async def test_a_device_that_has_retired_is_wanted_nothing_of(owner: Client, house: House) -> None:
    await say(house, "pump", {"desired": {"a": 1}})
    form = await opened(owner)
    await house.gateway.registry.set_state(1, "pump", DeviceState.RETIRED)
    assert "<textarea" not in (await owner.get(PATH)).text
    answer = await owner.submit(PATH, {**form, "desired": '{"a": 2}'})
    assert answer.status_code == 409
    answer = await owner.submit(f"{PATH}/remove", {"name": ""})
    assert answer.status_code == 409
    assert (await current(house)).desired == {"a": 1}


async def painted(house: House, **parameters: str) -> dict[str, Any]:
    stage = Stage(house.gateway, 1, {"device_id": "pump", **parameters}, house.clock())
    return {name: part.view for name, part in (await page.paint(stage)).parts.items()}


async def test_the_live_pieces_tell_what_others_desire_since_the_form_was_made(house: House) -> None:
    await say(house, "pump", {"desired": {"a": 1}})
    assert (await painted(house, base="1"))["shadow-news"].changes == ()
    await report(house, "pump", {"a": 1})
    assert (await painted(house, base="1"))["shadow-news"].changes == ()
    await say(house, "pump", {"desired": {"a": 2}}, author="user maria@example.com")
    view = await painted(house, base="1", edits="yes")
    assert [change.version for change in view["shadow-news"].changes] == [3]
    documents: Documents = view["shadow-documents"]
    assert '"a": 2' in documents.desired
    assert (await painted(house, base="nonsense", before="x" * 30))["shadow-news"].changes == ()


async def test_a_large_shadow_that_changes_throughout_is_compared_beside_the_loop(
    owner: Client, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[tuple[str, int]] = []

    def watched(where: Any, name: str) -> None:
        real = getattr(where, name)

        def watching(*arguments: Any) -> Any:
            threads.append((name, threading.get_ident()))
            return real(*arguments)

        monkeypatch.setattr(where, name, watching)

    for where, name in ((shadow_view, "history"), (shadow_view, "documents"), (service, "told"), (service, "as_of")):
        watched(where, name)
    await report(house, "pump", {f"k{n}": 0 for n in range(500)})
    began = house.clock()
    for number in range(1, 40):
        await report(house, "pump", {f"k{n}": number for n in range(500)})
    view = await painted(house)
    text = (await owner.get(PATH, params={"at": to_text(began)})).text
    assert {name for name, _ in threads} == {"history", "documents", "told", "as_of"}
    assert threading.get_ident() not in {thread for _, thread in threads}
    assert {len(change.reported.lines) for change in view["shadow-history"].changes} == {LISTED_LINES}
    assert "and 400 more" in text
    assert "and 475 more" in text


async def test_an_unknown_device_and_a_name_that_is_none_are_told(owner: Client) -> None:
    assert (await owner.get("/devices/nobody/shadow")).status_code == 404
    assert (await owner.get(PATH, params={"name": "a b"})).status_code == 400
    form = {"name": "a b", "desired": "{}", "base": "{}", "version": "0"}
    assert (await owner.submit(PATH, form)).status_code == 400
    assert (await owner.submit("/devices/nobody/shadow", form)).status_code == 404
