"""Devices that enrol by EST: a key of openssl, and curl."""

import base64
import subprocess
from pathlib import Path
from typing import Any

from tests.flows.running import RunningGateway

SETTINGS = '\ndevice_host = "localhost"\n'
"""Inside the section `http`: on the shared port this name is that of devices, so that every client can call it."""


class Key:
    """A device's key and what it asks with."""

    def __init__(self, folder: Path, subject: str, kind: str = "ec") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.key = folder / "key.pem"
        self.certificate = folder / "certificate.pem"
        of_kind = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if kind == "ec" else ["rsa:2048"]
        run(
            "openssl",
            "req",
            "-new",
            "-newkey",
            *of_kind,
            "-nodes",
            "-keyout",
            self.key,
            "-subj",
            subject,
            "-outform",
            "DER",
            "-out",
            folder / "request.der",
        )
        self.request = base64.b64encode((folder / "request.der").read_bytes())

    def keep(self, pkcs7: str) -> None:
        """Keep the certificate of an answer, as openssl reads it."""
        (self.folder / "answer.der").write_bytes(base64.b64decode(pkcs7.strip(), validate=True))
        run(
            "openssl",
            "pkcs7",
            "-inform",
            "DER",
            "-in",
            self.folder / "answer.der",
            "-print_certs",
            "-out",
            self.certificate,
        )


class Answer:
    """What curl got."""

    def __init__(self, printed: str) -> None:
        head, _, self.body = _split(printed)
        lines = head.splitlines()
        self.status = int(lines[0].split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}


def _split(printed: str) -> tuple[str, str, str]:
    head, _, body = printed.replace("\r\n", "\n").partition("\n\n")
    if head.startswith("HTTP/1.1 100"):
        return _split(body)
    return head, "", body


def run(*command: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=40, check=False)
    assert done.returncode == 0, done.stderr
    return done


def curl(gateway: RunningGateway, operation: str, *options: Any, port: int = 0, body: bytes | None = None) -> Answer:
    trust = gateway.data / "pki" / ("root.pem" if port else "web-ca.pem")
    sent = ["--data-binary", "@-", "-H", "Content-Type: application/pkcs10"] if body is not None else []
    done = subprocess.run(
        [
            "curl",
            "-sS",
            "-i",
            "--cacert",
            trust,
            *sent,
            *options,
            f"https://localhost:{port or gateway.web_port}/.well-known/est/{operation}",
        ],
        input=body,
        capture_output=True,
        timeout=40,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Answer(done.stdout.decode())


def shared_port(gateway: RunningGateway) -> int:
    return gateway._number(r"Shared +localhost:(\d+) ")


def enrolment_port(gateway: RunningGateway) -> int:
    return gateway._number(r"enrolment_port=(\d+)")


def code(gateway: RunningGateway, target: str) -> str:
    body = b'{"target": "%s", "type": "pump", "zone": "hall"}' % target.encode()
    status, made = gateway.call("POST", "/v1/enrolment/codes", gateway.token(), body)
    assert status == 201
    return str(made["code"])


def publish(gateway: RunningGateway, device_id: str, key: Key) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            "mosquitto_pub",
            "-h",
            "localhost",
            "-p",
            str(gateway.mqtt_port),
            "-i",
            device_id,
            "-q",
            "1",
            "--cafile",
            gateway.data / "pki" / "root.pem",
            "--cert",
            key.certificate,
            "--key",
            key.key,
            "-t",
            f"sensors/{device_id}/telemetry",
            "-m",
            '{"pressure": 45.2}',
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
