from appliance.registry.catalogue.model import DeviceType
from appliance.registry.model import NewDevice
from tests.web.house import Client, House

HOSTILE = "<img src=x onerror=alert(1)>"


async def test_an_empty_list_tells_the_next_step(owner: Client) -> None:
    page = (await owner.get("/devices")).text
    assert "headworks device add sensor-001" in page
    assert "mosquitto_pub" in page


async def test_a_device_is_listed_with_what_it_says_now(owner: Client, house: House) -> None:
    await house.add_device("sensor-001", name="Pump house", zone="north")
    await house.send("sensor-001", {"readings": {"pressure": 45.25}, "batteryLevel": 12})
    page = (await owner.get("/devices")).text
    assert 'id="row-sensor-001"' in page
    for text in ("Pump house", "north", "45.2", "12 %", "Pressure, 1 h"):
        assert text in page


async def test_only_columns_with_anything_in_them_are_shown(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    await house.send("sensor-001", {"pressure": 1.5})
    page = (await owner.get("/devices")).text
    assert "Battery" not in page
    assert ">Zone</th>" not in page


async def test_tabs_and_search_choose_devices(owner: Client, house: House) -> None:
    await house.add_device("alpha", name="Reservoir")
    await house.add_device("beta", is_connected=False)
    assert 'id="row-beta"' not in (await owner.get("/devices?q=RESERV")).text
    offline = (await owner.get("/devices?state=offline")).text
    assert 'id="row-beta"' in offline
    assert 'id="row-alpha"' not in offline
    assert "No device matches" in (await owner.get("/devices?q=nothing-like-it")).text


async def test_what_people_and_devices_write_is_never_markup(owner: Client, house: House) -> None:
    await house.add_device("sensor-001", name=HOSTILE, zone=HOSTILE)
    await house.send("sensor-001", {HOSTILE: 1.0, "text": HOSTILE})
    await house.send("sensor-001", b'{"' + HOSTILE.encode() + b"not json")
    for path in (
        "/",
        "/devices",
        f"/devices?q={HOSTILE}",
        "/devices/sensor-001",
        "/alerts",
        f"/devices?metric={HOSTILE}",
    ):
        answer = await owner.get(path)
        assert answer.status_code == 200
        assert "<img" not in answer.text, path


async def test_long_lists_have_pages(owner: Client, house: House) -> None:
    for number in range(55):
        await house.add_device(f"sensor-{number:03d}")
    first, second = (await owner.get("/devices")).text, (await owner.get("/devices?page=2")).text
    assert "1\N{EN DASH}50 of 55" in first
    assert 'id="row-sensor-054"' in second
    assert 'id="row-sensor-000"' not in second
    assert 'id="row-sensor-054"' in (await owner.get("/devices?page=99")).text
    assert 'id="row-sensor-000"' in (await owner.get("/devices?page=nonsense")).text


async def test_a_device_is_added_by_the_form_or_told_what_is_wrong(owner: Client, house: House) -> None:
    made = await owner.submit("/devices", {"device_id": " pump-1 ", "name": "Pump", "zone": "north"})
    assert (made.status_code, made.headers["location"]) == (303, "/devices/pump-1")
    assert house.gateway.registry.device(1, "pump-1").zone == "north"
    again = await owner.submit("/devices", {"device_id": "pump-1", "name": HOSTILE})
    assert again.status_code == 409
    assert "is already registered" in again.text
    assert "<img" not in again.text
    assert "<details" in again.text
    assert " open>" in again.text


async def test_a_search_is_saved_used_and_forgotten(owner: Client, house: House) -> None:
    await house.add_device("alpha", zone="north")
    await house.add_device("beta", zone="south")
    assert "Save search" in (await owner.get("/devices?q=zone:north")).text
    saved = await owner.submit("/device-filters", {"name": "North", "q": "zone:north"})
    page = (await owner.get(saved.headers["location"])).text
    assert 'id="row-alpha"' in page
    assert 'id="row-beta"' not in page
    assert "Forget “North”" in page
    await owner.submit("/device-filters/remove", {"name": "North"})
    assert "North" not in (await owner.get("/devices?q=zone:north")).text


async def test_a_search_that_is_not_understood_is_explained(owner: Client, house: House) -> None:
    await house.add_device("alpha")
    page = await owner.get("/devices?q=colour:red")
    assert page.status_code == 200
    assert "evices have no field &#39;colour&#39;" in page.text
    assert "cannot be understood" in page.text


async def test_what_is_listed_can_be_exported(owner: Client, house: House) -> None:
    await house.add_device("alpha", zone="north")
    await house.add_device("beta")
    assert "/device-export.csv?q=zone%3Anorth" in (await owner.get("/devices?q=zone:north")).text
    lines = (await owner.get("/device-export.csv?q=zone%3Anorth")).text.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["alpha"]


async def test_a_unit_comes_from_the_type(owner: Client, house: House) -> None:
    await house.gateway.catalogue.add_type(1, DeviceType("px", units={"pressure": "kPa"}))
    await house.gateway.catalogue.add_device(1, NewDevice("alpha", type="px"))
    await house.send("alpha", {"pressure": 45.25})
    assert '<span class="unit">kPa</span>' in (await owner.get("/devices")).text
