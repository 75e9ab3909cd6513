"""The page of a device's connections."""

from appliance.instant import DAY_MS
from appliance.registry.presence_log.model import EVENTS_LIMIT
from broker.packets import V5
from broker.ports import Connected, Disconnected, Refused
from tests.web.house import Client, House
from tests.web.wired import plugged


async def test_a_device_that_never_tried_has_an_empty_page(house: House, owner: Client) -> None:
    await house.add_device("pump", is_connected=False)
    assert "has never tried to connect" in (await owner.get("/devices/pump/connections")).text
    assert (await owner.get("/devices/nobody/connections")).status_code == 404


async def test_each_event_says_what_and_why(house: House, owner: Client) -> None:
    await house.add_device("pump", is_connected=False)
    now = house.clock()
    knock = Refused(0, "", "pump", "192.0.2.9:1", "connect_denied", "<b>revoked</b>", now, at_connect=True)
    for event in (
        knock,
        knock,
        Connected(1, "pump", "pump", "192.0.2.7:2", now + 1, "a"),
        Disconnected(1, "pump", "pump", "keep alive ran out", now + 2, "a"),
    ):
        house.gateway.ingestion.note(event)
    text = (await owner.get("/devices/pump/connections")).text
    assert "keep alive ran out" in text
    assert "192.0.2.7:2" in text
    assert "&lt;b&gt;revoked&lt;/b&gt;" in text
    assert "2</span>" in text
    assert "Older" not in text


async def test_older_events_are_a_page_further(house: House, owner: Client) -> None:
    await house.add_device("pump", is_connected=False)
    for number in range(EVENTS_LIMIT + 1):
        house.gateway.ingestion.note(Connected(1, "pump", "pump", f"192.0.2.7:{5_000 + number}", number, f"c{number}"))
    text = (await owner.get("/devices/pump/connections")).text
    assert "192.0.2.7:5000<" not in text
    address = text.partition("?before=")[2].partition('"')[0]
    assert "192.0.2.7:5000<" in (await owner.get(f"/devices/pump/connections?before={address}")).text


async def test_a_device_that_should_have_spoken_is_called_silent(house: House, owner: Client) -> None:
    await house.add_device("pump")
    await house.send("pump", {"temperature": 1.0}, arrived_at=house.clock() - 10_000)
    house.gateway.presence.interval_ms = lambda _tenant_id, _device_id: 1
    assert "Silent" in (await owner.get("/devices/pump/connections")).text
    house.gateway.presence.interval_ms = lambda _tenant_id, _device_id: DAY_MS
    assert "Silent" not in (await owner.get("/devices/pump/connections")).text


async def test_a_certificate_that_is_accepted_because_the_clock_is_wrong_is_shown(house: House, owner: Client) -> None:
    await house.add_device("pump")
    await house.gateway.registry.issue_certificate(1, "pump")
    assert "seems to be over" not in (await owner.get("/devices/pump/connections")).text
    house.gateway.registry.time.is_vouched_for = lambda _: False
    house.gateway.registry.time._wall = lambda: house.clock() + 3_650 * DAY_MS
    assert "seems to be over" in (await owner.get("/devices/pump/connections")).text


async def test_a_silent_device_is_shown_on_its_page_and_counted_on_the_overview(house: House, owner: Client) -> None:
    await house.add_device("pump")
    await house.send("pump", {"temperature": 1.0}, arrived_at=house.clock() - 10_000)
    assert "Silent" not in (await owner.get("/devices/pump")).text
    house.gateway.presence.interval_ms = lambda _tenant_id, _device_id: 1
    assert "Silent" in (await owner.get("/devices/pump")).text
    assert "1 silent" in (await owner.get("/")).text


async def test_an_operator_ends_a_session_by_hand(house: House, owner: Client) -> None:
    await house.add_device("pump")
    wire = plugged(house, "pump", "pump <1>", V5, 600)
    page = (await owner.get("/devices/pump/connections")).text
    assert "pump &lt;1&gt;" in page
    assert 'action="/devices/pump/sessions/end"' in page
    answer = await owner.submit("/devices/pump/sessions/end", {"name": "pump <1>"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices/pump/connections")
    assert not wire.is_open
    assert list(house.gateway.broker.sessions(1, "pump")) == []
    assert "sessions/end" not in (await owner.get("/devices/pump/connections")).text
    assert (await owner.submit("/devices/pump/sessions/end", {"name": "pump <1>"})).status_code == 404
    [entry] = await house.gateway.registry.audit.entries(1, limit=1)
    assert (entry.action, entry.subject) == ("session.end", "pump")
