import io
import re
import ssl
import zipfile

from tests.appliance.enrolment.requests import request
from tests.web.enrolment import secret_of
from tests.web.house import HOST, Client, House
from web.auth import VISIT_COOKIE

PEM = ssl.DER_cert_to_PEM_cert(request()).replace("CERTIFICATE", "CERTIFICATE REQUEST")


async def open_page(client: Client, secret: str) -> dict[str, str]:
    """Look at the page; gives what its forms send besides what is typed."""
    page = await client.get(f"/enrol/{secret}")
    assert page.status_code == 200, page.text
    found = re.search(r'name="form_token" value="([0-9a-f]+)"', page.text)
    assert found
    visit = re.search(rf"{VISIT_COOKIE}=([^;]+)", page.headers.get("set-cookie", ""))
    if visit:
        client.cookies.set(VISIT_COOKIE, visit[1], domain="gateway.local", path="/")
    return {"form_token": found[1]}


async def send(client: Client, path: str, fields: dict[str, str]) -> tuple[int, bytes]:
    answer = await client.post(path, data=fields, headers={"origin": f"https://{HOST}"})
    return answer.status_code, answer.content


async def test_looking_uses_nothing_up_and_downloading_does(stranger: Client, house: House) -> None:
    secret = await secret_of(house)
    await open_page(stranger, secret)
    fields = await open_page(stranger, secret)
    status_code, content = await send(stranger, f"/enrol/{secret}/bundle", fields)
    assert status_code == 200
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert {"pump-7/key.pem", "pump-7/certificate.pem", "pump-7/root.pem"} <= set(archive.namelist())
    assert (await stranger.get(f"/enrol/{secret}")).status_code == 409
    assert (await send(stranger, f"/enrol/{secret}/bundle", fields))[0] == 409


async def test_a_device_with_a_key_of_its_own_gets_a_certificate(stranger: Client, house: House) -> None:
    secret = await secret_of(house)
    fields = await open_page(stranger, secret)
    status_code, content = await send(stranger, f"/enrol/{secret}/certificate", {**fields, "request": "nonsense"})
    assert (status_code, b"signing request" in content) == (400, True)
    status_code, content = await send(stranger, f"/enrol/{secret}/certificate", {**fields, "request": PEM})
    assert (status_code, content.count(b"BEGIN CERTIFICATE")) == (200, 2)


async def test_a_pattern_asks_for_the_device(stranger: Client, house: House) -> None:
    secret = await secret_of(house, "pump-*")
    fields = await open_page(stranger, secret)
    status_code, content = await send(stranger, f"/enrol/{secret}/bundle", {**fields, "device_id": "fan-1"})
    assert (status_code, b"not for fan-1" in content) == (409, True)
    status_code, _ = await send(
        stranger, f"/enrol/{secret}/certificate", {**fields, "device_id": "pump-:9", "request": PEM}
    )
    assert status_code == 200
    assert house.gateway.registry.has_device(1, "pump-:9")


async def test_no_other_site_uses_a_code(stranger: Client, house: House) -> None:
    secret = await secret_of(house)
    fields = await open_page(stranger, secret)
    for headers, sent in (({"origin": "https://elsewhere.example"}, fields), ({"origin": f"https://{HOST}"}, {})):
        answer = await stranger.post(f"/enrol/{secret}/bundle", data={"device_id": "", **sent}, headers=headers)
        assert answer.status_code == 403
    assert not house.gateway.registry.has_device(1, "pump-7")


async def test_a_code_that_is_none_says_so_and_guessing_is_slow(stranger: Client) -> None:
    for _ in range(20):
        answer = await stranger.get("/enrol/ABCDEFGH")
        assert (answer.status_code, "not known" in answer.text) == (404, True)
    assert (await stranger.get("/enrol/ABCDEFGH")).status_code == 429


async def test_who_is_signed_in_can_use_it_too(owner: Client, house: House) -> None:
    secret = await secret_of(house)
    page = await owner.get(f"/enrol/{secret}")
    assert VISIT_COOKIE not in page.headers.get("set-cookie", "")
    assert (await owner.submit(f"/enrol/{secret}/bundle")).status_code == 200
