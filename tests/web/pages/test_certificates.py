import io
import re
import zipfile

from appliance.registry.model import DeviceState
from tests.web import requests
from tests.web.house import HOST, Client, House
from web.auth import form_token
from web.protection import TOKEN_FIELD

PAGE = "/devices/a/certificates"


async def test_a_new_device_has_none_and_is_offered_both_ways(owner: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    page = (await owner.get(PAGE)).text
    for text in ("No certificate yet", "Issue and download", 'enctype="multipart/form-data"'):
        assert text in page
    assert (await owner.get("/devices/nobody/certificates")).status_code == 404


async def test_the_zip_is_issued_by_a_form_and_the_certificate_is_listed(owner: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    answer = await owner.submit("/devices/a/bundle")
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert b"PRIVATE KEY" in archive.read("a/key.pem")
    [certificate] = await house.gateway.registry.certificates(1, "a")
    page = (await owner.get(PAGE)).text
    assert certificate.fingerprint in page
    assert "PRIVATE" not in page


async def upload(owner: Client, *, text: str = "", file: bytes = b"") -> str:
    fields = {TOKEN_FIELD: form_token(owner.session_secret), "request_text": text}
    files = {"request_file": ("a.csr", file, "application/octet-stream")}
    answer = await owner.post(
        "/devices/a/certificate-requests", data=fields, files=files, headers={"origin": f"https://{HOST}"}
    )
    return f"{answer.status_code} {answer.text}"


async def test_a_request_is_taken_as_a_file_and_as_text(owner: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    request = requests.pem()
    for answer in (await upload(owner, text=request), await upload(owner, file=request.encode())):
        assert answer.startswith("200")
        assert "BEGIN CERTIFICATE" in answer
    assert len(await house.gateway.registry.certificates(1, "a")) == 2


async def test_what_is_no_request_is_told_on_the_page(owner: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    answer = await upload(owner, text="hello")
    assert answer.startswith("400")
    assert 'role="alert"' in answer


async def test_a_form_without_its_token_changes_nothing(owner: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    files = {"request_file": ("a.csr", requests.pem().encode())}
    answer = await owner.post("/devices/a/certificate-requests", files=files, headers={"origin": f"https://{HOST}"})
    assert answer.status_code == 403
    assert await house.gateway.registry.certificates(1, "a") == []


async def test_revoking_is_asked_about_first(owner: Client, house: House) -> None:
    await house.add_device("a")
    bundle = await house.gateway.registry.issue_certificate(1, "a")
    [address] = re.findall(r'href="(/devices/a/certificates/\w+/revoke)"', (await owner.get(PAGE)).text)
    question = (await owner.get(address)).text
    for text in ("only good certificate", "connection that came by it", bundle.fingerprint, "Keep it"):
        assert text in question
    assert (await house.gateway.registry.certificates(1, "a"))[0].revoked_at is None
    answer = await owner.submit(address)
    assert (answer.status_code, answer.headers["location"]) == (303, PAGE)
    assert "revoked" in (await owner.get(PAGE)).text
    assert (await owner.get(f"{PAGE}/{'0' * 64}/revoke")).status_code == 404


async def test_a_retired_device_gets_none(owner: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    await house.gateway.registry.set_state(1, "a", DeviceState.RETIRED)
    assert "This device is retired" in (await owner.get(PAGE)).text
    answer = await owner.submit("/devices/a/bundle")
    assert answer.status_code == 409
    assert 'role="alert"' in answer.text
