"""EST with real clients: curl, strongSwan's pki, openssl."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.est import SETTINGS, Key, code, curl, enrolment_port, publish, run, shared_port
from tests.flows.running import RunningGateway, running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("est"), SETTINGS) as process:
        yield process


def test_curl_gets_the_authorities_and_what_a_request_should_have(gateway: RunningGateway, tmp_path: Path) -> None:
    key = Key(tmp_path, "/CN=visitor")
    key.keep(curl(gateway, "simpleenroll", "-u", f"visitor:{code(gateway, 'visitor')}", body=key.request).body)
    shown = ("--cert", key.certificate, "--key", key.key)
    for port, options in ((0, ()), (enrolment_port(gateway), ()), (shared_port(gateway), shown)):
        for operation in ("cacerts", "pump/cacerts"):
            answer = curl(gateway, operation, *options, port=port)
            assert answer.status == 200
            assert answer.headers["content-type"] == "application/pkcs7-mime; smime-type=certs-only"
            assert answer.headers["content-transfer-encoding"] == "base64"
            assert answer.body.count("\n") == 1
            authorities = tmp_path / "authorities.der"
            authorities.write_bytes(base64.b64decode(answer.body))
            printed = run("openssl", "pkcs7", "-inform", "DER", "-in", authorities, "-print_certs", "-noout").stdout
            assert ("Headworks Root CA" in printed, "Headworks Issuing CA" in printed) == (True, True)
        attributes = curl(gateway, "csrattrs", *options, port=port)
        assert (attributes.status, attributes.headers["content-type"]) == (200, "application/csrattrs")
        (tmp_path / "attributes.der").write_bytes(base64.b64decode(attributes.body))
        parsed = run("openssl", "asn1parse", "-inform", "DER", "-in", tmp_path / "attributes.der").stdout
        assert all(word in parsed for word in ("id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256"))


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_a_code_is_good_for_one_certificate(gateway: RunningGateway, tmp_path: Path, kind: str) -> None:
    device_id = f"coded-{kind}"
    secret = code(gateway, device_id)
    key = Key(tmp_path / "first", f"/CN={device_id}", kind)
    answer = curl(gateway, "simpleenroll", "-u", f"{device_id}:{secret}", body=key.request)
    assert answer.status == 200, answer.body
    key.keep(answer.body)
    trust = gateway.data / "pki" / "device-trust.pem"
    run("openssl", "verify", "-CAfile", trust, "-purpose", "sslclient", key.certificate)
    assert gateway.get(f"/v1/devices/{device_id}", gateway.token())["zone"] == "hall"
    other = Key(tmp_path / "other", f"/CN={device_id}")
    refused = curl(gateway, "simpleenroll", "-u", f"{device_id}:{secret}", body=other.request)
    assert (refused.status, "was used" in refused.body) == (401, True)
    assert refused.headers["www-authenticate"].startswith("Basic ")


def test_strongswan_gets_the_authorities_enrols_and_renews(gateway: RunningGateway, tmp_path: Path) -> None:
    here = ("--url", f"https://localhost:{enrolment_port(gateway)}", "--cacert", gateway.data / "pki" / "root.pem")
    authorities = tmp_path / "authorities"
    run("pki", "--estca", *here, "--caout", authorities, "--outform", "pem", "--force")
    first, second = Key(tmp_path / "first", "/CN=swan-1"), Key(tmp_path / "second", "/CN=swan-1")
    issuing = next(path for path in tmp_path.glob("authorities*") if "1" in path.name)
    trusted = (*here, "--cacert", issuing, "--outform", "pem")
    userpass = ("--userpass", f"swan-1:{code(gateway, 'swan-1')}")
    done = run("pki", "--est", *trusted, "--in", tmp_path / "first" / "request.der", *userpass)
    first.certificate.write_text(done.stdout)
    shown = ("--cert", first.certificate, "--key", first.key)
    done = run("pki", "--est", *trusted, "--in", tmp_path / "second" / "request.der", *shown)
    second.certificate.write_text(done.stdout)
    run("openssl", "verify", "-CAfile", gateway.data / "pki" / "device-trust.pem", second.certificate)
    assert publish(gateway, "swan-1", second).returncode == 0


def test_attacks_are_refused_in_a_sentence(gateway: RunningGateway, tmp_path: Path) -> None:
    key = Key(tmp_path / "one", "/CN=attacker")
    for body, status, word in (
        (b"A" * 1_000_000, 413, "at most"),
        (b"A" * 3_000_000, 413, "at most"),
        (b"!" * 100, 400, "not base64"),
        (b"MIIB", 400, "signing request"),
        (base64.b64encode(b"\x30" * 20_000), 400, "at most"),
        (b"", 400, "signing request"),
    ):
        answer = curl(gateway, "simpleenroll", body=body)
        assert (answer.status, word in answer.body) == (status, True), (body[:10], answer.status, answer.body)
        assert "<" not in answer.body
    wrong_type = curl(gateway, "simpleenroll", "-H", "Content-Type: text/plain", "--data-binary", key.request.decode())
    assert wrong_type.status == 415
    foreign = curl(gateway, "simpleenroll", "-H", "Origin: https://elsewhere.example", body=key.request)
    assert foreign.status == 403
    assert curl(gateway, "simplereenroll", body=key.request).status == 403


def test_a_device_cannot_renew_as_another(gateway: RunningGateway, tmp_path: Path) -> None:
    first, foreign = Key(tmp_path / "a", "/CN=device-a"), Key(tmp_path / "b", "/CN=device-b")
    for key, device_id in ((first, "device-a"), (foreign, "device-b")):
        key.keep(curl(gateway, "simpleenroll", "-u", f"{device_id}:{code(gateway, device_id)}", body=key.request).body)
    shown = ("--cert", first.certificate, "--key", first.key)
    for port in (shared_port(gateway), enrolment_port(gateway)):
        for operation in ("simplereenroll", "simpleenroll"):
            answer = curl(gateway, operation, *shown, port=port, body=foreign.request)
            assert (answer.status, "device-b" in answer.body) == (403, True)


def test_who_guesses_codes_has_to_wait(tmp_path: Path) -> None:
    key = Key(tmp_path / "key", "/CN=guesser")
    with running(tmp_path / "gateway", SETTINGS) as gateway:
        good = code(gateway, "guesser")
        statuses = [
            curl(gateway, "simpleenroll", "-u", f"guesser:{'ABCD' * 8}", body=key.request).status for _ in range(21)
        ]
        assert statuses == [401] * 20 + [429]
        waits = curl(gateway, "simpleenroll", "-u", f"guesser:{good}", body=key.request)
        assert (waits.status, int(waits.headers["retry-after"]) > 0) == (429, True)
