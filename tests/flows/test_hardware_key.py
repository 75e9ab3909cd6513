"""The issuing CA's key in a token, from the command line to a device that connects; and without the token."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.appliance.registry.hardware.softhsm import PIN, Shelf, needs_softhsm
from tests.appliance.registry.hardware.stalling import Stalling, needs_compiler
from tests.flows.running import Device, RunningGateway, running

pytestmark = needs_softhsm


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    before = os.environ.get("SOFTHSM2_CONF")
    yield Shelf(tmp_path / "softhsm")
    del os.environ["SOFTHSM2_CONF"]
    if before is not None:
        os.environ["SOFTHSM2_CONF"] = before


def settings_of(shelf: Shelf, module: Path | None = None) -> str:
    made = shelf.add("gateway")
    return f"""
[ca]
pkcs11_module = "{module or made.pkcs11_module}"
pkcs11_token = "{made.pkcs11_token}"
pin_file = "{made.pin_file}"
"""


def asks(gateway: RunningGateway, token: str, folder: Path) -> tuple[int, str]:
    """Have a certificate issued for a key of the device's own; its bundle is in the folder if it was."""
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    body = {"certificate_request": request.public_bytes(serialization.Encoding.PEM).decode()}
    path = "/v1/devices/pump/certificate-requests"
    status, answer = gateway.call("POST", path, token, json.dumps(body).encode())
    if status >= 400:
        return status, answer["detail"]
    folder.mkdir()
    plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*plain))
    (folder / "certificate.pem").write_text(answer["chain_pem"])
    (folder / "root.pem").write_text(answer["root_pem"])
    return status, ""


def hardware_of(gateway: RunningGateway, token: str) -> str:
    told: str = gateway.get("/v1/status", token)["parts"]["hardware key"]["summary"]
    return told


def connects(gateway: RunningGateway, device_id: str, bundle: Path) -> None:
    Device(gateway, device_id, bundle).wait_connected().close()


def test_the_token_issues_and_without_it_devices_connect_all_the_same(tmp_path: Path, shelf: Shelf) -> None:
    settings = settings_of(shelf)
    with running(tmp_path, settings) as gateway:
        before = gateway.add_device("pump")
        token = gateway.token()
        assert "Issuer key in a hardware token" in gateway.command("ca", "use-hsm")
        assert asks(gateway, token, tmp_path / "bundle") == (201, "")
        connects(gateway, "pump", before)
        connects(gateway, "pump", tmp_path / "bundle")
        assert gateway.end() == 0
    shelf.take_away()
    with running(tmp_path, settings) as again:
        assert "no certificates are issued" in hardware_of(again, token)
        connects(again, "pump", tmp_path / "bundle")
        status, detail = asks(again, token, tmp_path / "none")
        assert (status, "is it" in detail) == (503, True)
        shelf.bring_back()
        assert asks(again, token, tmp_path / "second") == (201, "")
        assert "is in the token" in hardware_of(again, token)
        connects(again, "pump", tmp_path / "second")
        assert again.end() == 0


def test_a_wrong_pin_is_shown_once_and_devices_connect(tmp_path: Path, shelf: Shelf) -> None:
    settings = settings_of(shelf)
    with running(tmp_path, settings) as gateway:
        bundle, token = gateway.add_device("pump"), gateway.token()
        gateway.command("ca", "use-hsm")
        assert gateway.end() == 0
    shelf.show_pin("0815")
    with running(tmp_path, settings) as again:
        assert "refused the PIN" in hardware_of(again, token)
        for _ in range(12):
            assert "not shown again" in asks(again, token, tmp_path / "none")[1]
        connects(again, "pump", bundle)
        assert "0815" not in again.output
        assert again.end() == 0
    # Nor by a gateway that is started over and over.
    for _ in range(2):
        with running(tmp_path, settings) as further:
            assert "not shown again" in hardware_of(further, token)
            assert "0815" not in further.output
            assert further.end() == 0
    shelf.show_pin(PIN)
    with running(tmp_path, settings) as last:
        assert asks(last, token, tmp_path / "second") == (201, "")
        assert not (last.data / "pki" / "pin-refused").exists()
        assert last.end() == 0


@needs_compiler
def test_a_token_that_does_not_answer_keeps_neither_start_nor_end_waiting(tmp_path: Path, shelf: Shelf) -> None:
    stalling = Stalling(tmp_path)
    settings = settings_of(shelf, stalling.module)
    with running(tmp_path, settings) as gateway:
        bundle, token = gateway.add_device("pump"), gateway.token()
        gateway.command("ca", "use-hsm")
        assert gateway.end() == 0
    stalling.begin()
    with running(tmp_path, settings) as again:
        assert "does not answer" in hardware_of(again, token)
        status, detail = asks(again, token, tmp_path / "none")
        assert (status, "does not answer" in detail) == (503, True)
        connects(again, "pump", bundle)
        assert again.end() == 0
