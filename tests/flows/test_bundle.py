"""The zip of a device: whoever unpacks it has programs that work, each run here against a real gateway."""

import io
import re
import ssl
import stat
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.flows.running import RunningGateway, running

DEVICE = "pump-7"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("bundle")) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def token(gateway: RunningGateway) -> str:
    return gateway.token()


@pytest.fixture(scope="module")
def bundle(gateway: RunningGateway, token: str) -> Path:
    """The unpacked zip."""
    assert gateway.call("POST", "/v1/devices", token, f'{{"device_id": "{DEVICE}"}}'.encode())[0] == 201
    context = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
    request = urllib.request.Request(
        f"https://localhost:{gateway.web_port}/v1/devices/{DEVICE}/bundle",
        method="POST",
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        content = answer.read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(gateway.data.parent)
    return gateway.data.parent / DEVICE


def run(*command: str | Path, timeout_s: float = 40) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def seen_at(gateway: RunningGateway, token: str) -> str | None:
    seen: str | None = gateway.get(f"/v1/devices/{DEVICE}", token)["last_seen_at"]
    return seen


def test_the_shell_lines_send_a_reading_and_wait_for_commands(
    gateway: RunningGateway, token: str, bundle: Path
) -> None:
    run("sh", bundle / "publish.sh")
    assert seen_at(gateway, token) is not None
    # Nobody sends a command: mosquitto_sub ends by itself after two seconds, with a status of its own for that.
    done = subprocess.run(
        ["sh", bundle / "subscribe.sh", "-W", "2"], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr.replace("Timed out\n", "")) == (27, "")


def test_the_line_of_the_readme_is_run_as_it_stands_there(gateway: RunningGateway, token: str, bundle: Path) -> None:
    before = seen_at(gateway, token)
    [line] = re.findall(r"^mosquitto_pub .*$", (bundle / "README.txt").read_text(), re.MULTILINE)
    subprocess.run(line, shell=True, cwd=bundle, timeout=30, check=True)  # noqa: S602  as a person would
    assert seen_at(gateway, token) != before


@pytest.mark.parametrize(
    "program", ["paho_mqtt.py", "aws_iot_sdk.py", "aws_iot_sdk_alpn.py", "aws_iot_python_sdk_v1.py"]
)
def test_each_python_program_has_its_reading_acknowledged(
    gateway: RunningGateway, token: str, bundle: Path, program: str
) -> None:
    before = seen_at(gateway, token)
    assert "on the gateway's disk" in run(sys.executable, bundle / program, "--once")
    assert seen_at(gateway, token) != before


def test_the_folder_that_the_command_line_writes_is_the_same_bundle(
    gateway: RunningGateway, token: str, bundle: Path
) -> None:
    folder = gateway.add_device("pump-8")
    assert _names(folder) == _names(bundle)
    run(sys.executable, folder / "aws_iot_python_sdk_v1.py")
    assert gateway.get("/v1/devices/pump-8", token)["last_seen_at"] is not None


def test_each_bundle_of_an_import_has_the_programs_and_the_port_that_is_open(
    gateway: RunningGateway, token: str, bundle: Path
) -> None:
    table = gateway.data.parent / "devices.csv"
    table.write_text("device_id\npump-9\n")
    gateway.command("device", "import", str(table), "--bundles", str(gateway.data.parent / "imported"), "--programs")
    folder = gateway.data.parent / "imported" / "pump-9"
    assert _names(folder) == {name for name in _names(bundle) if not name.startswith("label")}
    run(sys.executable, folder / "aws_iot_sdk_alpn.py")
    run("sh", folder / "publish.sh")
    assert gateway.get("/v1/devices/pump-9", token)["last_seen_at"] is not None


def _names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_the_label_is_a_picture_of_the_address(gateway: RunningGateway, bundle: Path) -> None:
    assert (bundle / "label.png").read_bytes().startswith(b"\x89PNG")
    assert stat.S_ISREG((bundle / "label.svg").stat().st_mode)
    assert f":{gateway.mqtt_port}" in (bundle / "esp_idf" / "mqtt.c").read_text()
