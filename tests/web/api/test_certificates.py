import io
import zipfile

from tests.web import requests
from tests.web.house import Client, House

PATH = "/v1/devices/a/certificates"


async def test_a_certificate_is_issued_for_a_request_as_it_is_or_in_json(script: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    request = requests.pem()
    plain = await script.post("/v1/devices/a/certificate-requests", content=request)
    wrapped = await script.post("/v1/devices/a/certificate-requests", json={"certificate_request": request})
    assert (plain.status_code, wrapped.status_code) == (201, 201)
    assert "key_pem" not in plain.json()
    assert plain.json()["chain_pem"].count("BEGIN CERTIFICATE") == 2
    listed = (await script.get(PATH)).json()["certificates"]
    assert [one["fingerprint"] for one in listed] == [wrapped.json()["fingerprint"], plain.json()["fingerprint"]]


async def test_what_is_no_request_is_refused_with_a_sentence(script: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    for told in ({"content": b"nothing"}, {"json": {"certificate_request": ""}}, {"json": {"csr": "x"}}):
        answer = await script.post("/v1/devices/a/certificate-requests", **told)
        assert answer.status_code == 400, told
        assert answer.json()["detail"]


async def test_a_bundle_is_a_zip_with_a_key_that_is_given_once(script: Client, house: House) -> None:
    await house.add_device("a:b", is_connected=False)
    answer = await script.post("/v1/devices/a:b/bundle")
    assert (answer.status_code, answer.headers["content-type"]) == (201, "application/zip")
    assert answer.headers["cache-control"] == "no-store"
    assert 'filename="a_b.zip"' in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert b"PRIVATE KEY" in archive.read("a_b/key.pem")


async def test_a_revoked_certificate_is_told_as_such(script: Client, house: House) -> None:
    await house.add_device("a", is_connected=False)
    await script.post(PATH)
    [one] = (await script.get(PATH)).json()["certificates"]
    assert one["revoked_at"] is None
    revoked = await script.delete(f"{PATH}/{one['fingerprint'].upper()}")
    assert revoked.json()["revoked_at"]
    assert (await script.get(PATH)).json()["certificates"] == [revoked.json()]
    assert (await script.delete(f"{PATH}/{'0' * 64}")).json()["code"] == "unknown_certificate"


async def test_a_device_that_is_not_there_has_none(script: Client) -> None:
    assert (await script.get("/v1/devices/nobody/certificates")).status_code == 404
    assert (await script.post("/v1/devices/nobody/bundle")).status_code == 404
