import base64
import re

from appliance.enrolment.tray.model import Said
from tests.appliance.enrolment.requests import request
from tests.appliance.enrolment.self_made import shown
from tests.web.enrolment import enrol, secret_of
from tests.web.house import Client, House


async def test_the_page_says_what_there_is_when_there_is_nothing(owner: Client) -> None:
    page = (await owner.get("/enrolment")).text
    assert "Nobody waits" in page
    assert "Make a code" in page
    assert 'aria-current="page"' in page


async def test_a_code_is_shown_once_with_its_picture_and_its_address(owner: Client, house: House) -> None:
    made = (await owner.submit("/enrolment/codes", {"target": "pump-7", "hours": "1"})).text
    found = re.search(r"(?:[A-Z2-7]{4}-){7}[A-Z2-7]{4}", made)
    assert found
    assert "data:image/svg+xml" in made
    assert f"https://gateway.local:8443/enrol/{found[0].replace('-', '')}" in made
    page = (await owner.get("/enrolment")).text
    assert (found[0] in page, "pump-7" in page) == (False, True)
    [code] = await house.gateway.codes.codes(1)
    assert code.expires_at - code.created_at == 3_600_000


async def test_from_the_gateway_itself_the_address_is_the_one_in_the_lan(owner: Client, house: House) -> None:
    for host in ("localhost:8443", "127.0.0.1:8443", "[::1]:8443"):
        sent = {"host": host, "origin": f"https://{host}"}
        made = (await owner.submit("/enrolment/codes", {"target": "pump-7"}, **sent)).text
        assert f"https://{house.gateway.registry.lan_host}:8443/enrol/" in made


async def test_what_makes_no_sense_is_given_back_with_the_reason(owner: Client) -> None:
    answer = await owner.submit("/enrolment/codes", {"target": "<b>", "hours": "nonsense"})
    assert (answer.status_code, 'role="alert"' in answer.text) == (400, True)
    assert 'value="&lt;b&gt;"' in answer.text


async def test_a_code_is_revoked(owner: Client, house: House) -> None:
    await secret_of(house)
    assert (await owner.submit("/enrolment/codes/1/revoke")).status_code == 303
    assert ">revoked<" in (await owner.get("/enrolment")).text


async def test_a_used_code_names_its_device(owner: Client, house: House) -> None:
    await house.gateway.codes.bundle(await secret_of(house), "", "192.0.2.7")
    page = (await owner.get("/enrolment")).text
    assert '<a href="/devices/pump-7">' in page
    assert "from 192.0.2.7" in page


async def test_a_used_code_is_revoked_as_long_as_it_answers_again(owner: Client, house: House) -> None:
    button = 'action="/enrolment/codes/1/revoke"'
    await house.gateway.codes.enrol(await secret_of(house), "pump-7", request(), "192.0.2.7")
    page = (await owner.get("/enrolment")).text
    assert ("answers the same device again" in page, button in page) == (True, True)
    await owner.submit("/enrolment/codes/1/revoke")
    page = (await owner.get("/enrolment")).text
    assert ("revoked after that" in page, button in page) == (True, False)
    # The gateway made this one's key and has no copy of it: there is nothing to answer again.
    await house.gateway.codes.bundle(await secret_of(house, "pump-8"), "", "192.0.2.7")
    assert "/enrolment/codes/2/revoke" not in (await owner.get("/enrolment")).text


async def test_who_knocks_is_shown_and_let_in_with_one_click(owner: Client, stranger: Client, house: House) -> None:
    await enrol(stranger, operation="pump/simpleenroll")
    page = (await owner.get("/enrolment")).text
    assert "Accept as pump-7" in page
    assert (
        await owner.submit("/enrolment/knocks/1/accept", {"device_id": "pump-7", "type": "pump"})
    ).status_code == 303
    assert house.gateway.registry.device(1, "pump-7").type == "pump"
    assert "it is <a" in (await owner.get("/enrolment/knocks/1")).text


async def test_the_name_of_a_device_that_there_is_takes_more_than_one_click(
    owner: Client, stranger: Client, house: House
) -> None:
    await house.add_device("pump-7")
    await enrol(stranger)
    page = (await owner.get("/enrolment")).text
    assert "Accept as pump-7</button>" not in page
    assert "is registered" in (await owner.get("/enrolment/knocks/1")).text
    answer = await owner.submit("/enrolment/knocks/1/accept", {"device_id": "pump-7"})
    assert (answer.status_code, 'role="alert"' in answer.text) == (409, True)
    chosen = {"device_id": "pump-7", "is_registered": "yes"}
    assert (await owner.submit("/enrolment/knocks/1/accept", chosen)).status_code == 303


async def test_who_is_refused_is_gone(owner: Client, stranger: Client) -> None:
    await enrol(stranger)
    assert (await owner.submit("/enrolment/knocks/1/refuse")).status_code == 303
    assert "Nobody waits" in (await owner.get("/enrolment")).text
    assert (await owner.get("/enrolment/knocks/99")).status_code == 404


async def test_a_subject_is_text_and_nothing_else(owner: Client, stranger: Client) -> None:
    await enrol(stranger, base64.b64encode(request('<script>alert(1)</script>"><img src=x>')))
    for path in ("/enrolment", "/enrolment/knocks/1"):
        page = (await owner.get(path)).text
        assert "alert(1)" in page
        assert "<script>alert" not in page
        assert "<img src=x>" not in page


async def test_who_knocks_with_a_certificate_is_shown_with_what_it_says_and_let_in_by_one_click(
    owner: Client, house: House
) -> None:
    said = Said("fan-1", "fan", "4711", "<img src=x>")
    knock = await house.gateway.tray.knock_with_certificate(1, shown(common_name="self"), said, "192.0.2.7")
    page = await owner.get("/enrolment")
    assert "with a self-made certificate" in page.text
    assert "says “&lt;img src=x&gt;”" in page.text
    assert "Accept as fan-1" in page.text
    details = await owner.get(f"/enrolment/knocks/{knock.knock_number}")
    assert "a certificate that it made itself" in details.text
    assert knock.key_fingerprint in details.text
    fields = {"device_id": "fan-1", "type": "fan"}
    assert (await owner.submit(f"/enrolment/knocks/{knock.knock_number}/accept", fields)).status_code == 303
    assert house.gateway.registry.device(1, "fan-1").serial_number == "4711"
    assert len(await house.gateway.registry.certificates(1, "fan-1")) == 1
