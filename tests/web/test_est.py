import base64
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from appliance.enrolment.tray.model import Acceptance
from appliance.errors import ApplianceError
from tests.appliance.enrolment.requests import request
from tests.web.devices import ask, device_tls, shared_port
from tests.web.enrolment import EST, basic, enrol, secret_of
from tests.web.house import Client, House
from web import est
from web.server import Served, serving


@pytest.fixture
async def served(house: House) -> AsyncIterator[Served]:
    async with serving(house.gateway, house.config) as made:
        yield made


async def test_the_authorities_come_on_one_line_under_every_label(stranger: Client, house: House) -> None:
    for path in ("cacerts", "pump/cacerts"):
        answer = await stranger.get(EST + path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
        assert answer.text.count("\n") == 1
        der = base64.b64decode(answer.text.strip(), validate=True)
        root = ssl.PEM_cert_to_DER_cert(house.gateway.registry.root_path.read_text())
        assert root in der


async def test_what_a_request_should_have_is_der(stranger: Client) -> None:
    answer = await stranger.get(EST + "csrattrs")
    assert answer.headers["content-type"] == "application/csrattrs"
    assert base64.b64decode(answer.text) == est.ATTRIBUTES


async def test_a_code_enrols_in_either_form_of_a_request(stranger: Client, house: House) -> None:
    pem = ssl.DER_cert_to_PEM_cert(request()).replace("CERTIFICATE", "CERTIFICATE REQUEST")
    lines = base64.encodebytes(request())
    for number, body in enumerate((pem.encode(), lines)):
        device_id = f"pump-{number}"
        answer = await enrol(stranger, body, authorization=basic(device_id, await secret_of(house, device_id)))
        assert answer.status_code == 200, answer.text
        assert len(await house.gateway.registry.certificates(1, device_id)) == 1


async def test_without_a_user_name_the_name_in_the_request_counts(stranger: Client, house: House) -> None:
    answer = await enrol(stranger, authorization=basic("", await secret_of(house, "pump-*")))
    assert answer.status_code == 200
    assert house.gateway.registry.has_device(1, "pump-7")


async def test_who_shows_something_else_than_a_code_is_asked_for_one(stranger: Client, house: House) -> None:
    wrong = ("Bearer hw_1.x", "Basic ???", "Basic " + base64.b64encode(b"\xff\xff").decode(), basic("a", "b"))
    for authorization in wrong:
        answer = await enrol(stranger, authorization=authorization)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, est.REALM), authorization
    answer = await enrol(stranger, authorization=basic("fan-1", await secret_of(house)))
    assert (answer.status_code, "not for fan-1" in answer.text) == (403, True)


async def test_a_header_or_a_body_beyond_ascii_is_answered_with_a_sentence(stranger: Client) -> None:
    headers = {b"content-type": b"application/pkcs10", b"authorization": b"Basic caf\xc3\xa9"}
    answer = await stranger.post(EST + "simpleenroll", content=base64.b64encode(request()), headers=headers)
    assert (answer.status_code, answer.text) == (401, "The header Authorization cannot be read.\n")
    answer = await enrol(stranger, "café".encode())
    assert (answer.status_code, answer.text) == (400, "The body is not base64.\n")


async def test_who_knocks_waits_until_a_person_has_decided(stranger: Client, house: House) -> None:
    body = base64.b64encode(request("pump-7"))
    waits = await enrol(stranger, body, "pump/simpleenroll")
    assert (waits.status_code, waits.headers["retry-after"]) == (202, "5")
    [knock] = await house.gateway.tray.waiting(1)
    assert (knock.label, knock.address) == ("pump", "127.0.0.1")
    await house.gateway.tray.accept(1, knock.knock_number, Acceptance("pump-7"))
    granted = await enrol(stranger, body)
    assert (granted.status_code, granted.headers["content-transfer-encoding"]) == (200, "base64")


async def test_who_is_refused_hears_it_in_a_sentence(stranger: Client, house: House) -> None:
    body = base64.b64encode(request())
    await enrol(stranger, body)
    [knock] = await house.gateway.tray.waiting(1)
    await house.gateway.tray.refuse(1, knock.knock_number)
    answer = await enrol(stranger, body)
    assert (answer.status_code, answer.text) == (403, "This device was refused at this gateway.\n")


@pytest.mark.parametrize(
    ("body", "status_code"),
    [(b"", 400), (b"!!!", 400), (b"MIIB", 400), (b"A" * (est.BODY_BYTES + 1), 413), (b"A" * 1_048_577, 413)],
)
async def test_a_body_that_is_no_request_is_refused(stranger: Client, body: bytes, status_code: int) -> None:
    answer = await enrol(stranger, body)
    assert (answer.status_code, answer.headers["content-type"]) == (status_code, "text/plain; charset=utf-8")


async def test_nothing_comes_from_a_page_of_another_site(stranger: Client, house: House) -> None:
    answer = await stranger.post(EST + "simpleenroll", content=b"x", headers={"content-type": "text/plain"})
    assert answer.status_code == 415
    assert (await enrol(stranger, origin="https://elsewhere.example")).status_code == 403
    assert await house.gateway.tray.waiting(1) == []


async def test_a_certificate_is_renewed_only_by_its_bearer(
    stranger: Client, house: House, served: Served, tmp_path: Path
) -> None:
    answer = await enrol(stranger, operation="simplereenroll")
    assert (answer.status_code, "shared port" in answer.text) == (403, True)
    await house.add_device("pump-7")
    context = device_tls(tmp_path, await house.gateway.registry.issue_certificate(1, "pump-7"))
    async with shared_port(house, served) as port:
        assert (await ask(port, context, EST + "cacerts")).status_code == 200
    context.set_alpn_protocols(["http/1.1"])
    async with httpx.AsyncClient(verify=context, base_url=f"https://localhost:{served.enrolment_port}") as device:
        for name, status_code in (("pump-8", 403), ("pump-7", 200), ("", 200)):
            for operation in ("simplereenroll", "simpleenroll"):
                body = base64.b64encode(request(name))
                headers = {"content-type": "application/pkcs10"}
                answer = await device.post(EST + operation, content=body, headers=headers)
                assert answer.status_code == status_code, answer.text
        for path in ("/", "/v1/devices", "/sign-in"):
            assert (await device.get(path)).status_code == 404
    assert len(await house.gateway.registry.certificates(1, "pump-7")) == 5


async def test_the_enrolment_port_takes_newcomers_without_a_certificate(house: House, served: Served) -> None:
    context = ssl.create_default_context(cafile=house.gateway.registry.root_path)
    async with httpx.AsyncClient(verify=context, base_url=f"https://localhost:{served.enrolment_port}") as newcomer:
        assert (await newcomer.get(EST + "cacerts")).status_code == 200
        body, headers = base64.b64encode(request()), {"content-type": "application/pkcs10"}
        assert (await newcomer.post(EST + "simpleenroll", content=body, headers=headers)).status_code == 202
        assert (await newcomer.post(EST + "simplereenroll", content=body, headers=headers)).status_code == 403


async def test_a_defect_is_no_story_for_strangers(house: House, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret")

    object.__setattr__(house.gateway.tray, "knock", broken)
    app = est.create_enrolment_app(house.gateway, house.config)
    async with Client(app) as newcomer:
        answer = await enrol(newcomer, operation="pump/simpleenroll")
    assert (answer.status_code, "secret" in answer.text) == (500, False)
    assert "method=POST path=/.well-known/est/{label}/simpleenroll" in caplog.text


def test_every_refusal_has_a_status_of_its_own_kind() -> None:
    assert all(issubclass(kind, ApplianceError) for kind in est._STATUS)
