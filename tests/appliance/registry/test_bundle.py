"""A bundle as files."""

import io
import re
import shlex
import struct
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry import bundle
from appliance.registry.bundle import Address
from appliance.registry.model import Bundle
from tests.appliance.registry.examples import NOW, device_ids

BUNDLE = Bundle("sensor-001", "leaf", "leaf issuing", "key", "root", "f" * 64, NOW)


def test_each_part_has_its_file() -> None:
    files = bundle.as_files(BUNDLE, Address("gateway.local"))
    assert set(files) == {"certificate.pem", "key.pem", "root.pem", "README.txt"}
    assert (files["certificate.pem"], files["key.pem"], files["root.pem"]) == (b"leaf issuing", b"key", b"root")


def test_the_readme_has_a_line_that_a_shell_understands() -> None:
    readme = bundle.as_files(BUNDLE, Address("gateway.local"))["README.txt"].decode()
    [line] = [line for line in readme.splitlines() if line.startswith("mosquitto_pub")]
    words = shlex.split(line)
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["-i"] == "sensor-001"
    assert options["-t"] == "sensors/sensor-001/telemetry"
    assert options["-m"] == '{"temperature": 21.5}'
    assert {options[key] for key in ("--cafile", "--cert", "--key")} == {"root.pem", "certificate.pem", "key.pem"}
    assert (options["-h"], options["-p"]) == ("gateway.local", "8883")


def test_the_readme_says_until_when_and_does_not_show_the_key() -> None:
    readme = bundle.as_files(BUNDLE, Address("gateway.local"))["README.txt"].decode()
    assert "2026-11-21T06:00:00.000Z" in readme
    assert "publish    sensors/sensor-001/#  cmd/sensor-001/response/#  fw/sensor-001/status" in readme
    assert "subscribe  cmd/sensor-001/#  fw/sensor-001/offer" in readme


WHOLE = Address("gateway.local", 8883, 9443, 8443)


def test_the_zip_has_everything_in_one_folder_that_only_its_owner_may_read() -> None:
    files = bundle.with_programs(BUNDLE, WHOLE)
    with zipfile.ZipFile(io.BytesIO(bundle.zipped(files, "sensor-001", NOW))) as archive:
        assert archive.testzip() is None
        unpacked = {info.filename: archive.read(info) for info in archive.infolist()}
        assert {info.external_attr >> 16 & 0o777 for info in archive.infolist()} == {0o600}
    assert unpacked == {f"sensor-001/{name}": content for name, content in files.items()}


def test_a_clock_before_zip_files_were_there_does_not_matter() -> None:
    assert bundle.zipped({"a": b"b"}, "folder", 0)


@given(device_id=device_ids)
def test_a_folder_s_name_is_one_that_every_file_system_takes(device_id: str) -> None:
    assert not set(bundle.folder_name(device_id)) & set('<>:"/\\|?*')


def test_the_label_leads_to_the_device_s_page_and_tells_no_secret() -> None:
    assert bundle.page_address("sensor-001", WHOLE) == "https://gateway.local:8443/devices/sensor-001"
    assert bundle.page_address("a", Address("fe80::1", web_port=8443)) == "https://[fe80::1]:8443/devices/a"
    files = bundle.with_programs(BUNDLE, WHOLE)
    assert b"<svg" in files["label.svg"]
    width, height = struct.unpack(">II", files["label.png"][16:24])
    assert width == height > 100
    other = bundle.with_programs(Bundle("sensor-001", "", "", "another key", "", "0" * 64, NOW), WHOLE)
    assert (other["label.svg"], other["label.png"]) == (files["label.svg"], files["label.png"])


def test_without_a_dashboard_there_is_no_label_and_without_a_shared_port_no_program_for_it() -> None:
    files = bundle.with_programs(BUNDLE, Address("gateway.local"))
    assert not [name for name in files if name.startswith("label") or "alpn" in name]
    assert b"ALPN" not in files["README.txt"]


@pytest.mark.parametrize("address", [WHOLE, Address("gateway.local")])
def test_the_readme_tells_of_every_file_and_of_no_other(address: Address) -> None:
    files = bundle.with_programs(BUNDLE, address)
    told = re.findall(r"^(\S+)  +[a-z]", files["README.txt"].decode().partition("Fingerprint")[0], re.MULTILINE)
    assert set(told) == {re.sub("/.*", "/", name) for name in files} - {"README.txt"}


@given(known=st.lists(device_ids, unique=True, max_size=5), has_programs=st.booleans())
def test_bundles_of_many_are_those_of_each_without_its_label(known: list[str], has_programs: bool) -> None:
    issued = [Bundle(device_id, "leaf", "leaf issuing", "key", "root", "f" * 64, NOW) for device_id in known]
    unlabelled = Address(WHOLE.host, WHOLE.mqtt_port, WHOLE.shared_port)
    files_of = bundle.with_programs if has_programs else bundle.as_files
    expected = [(one.device_id, files_of(one, unlabelled)) for one in issued]
    assert list(bundle.of_many(issued, WHOLE, has_programs=has_programs)) == expected


@pytest.mark.parametrize("name", ["key.pem", "arduino_esp32/certificates.h"])
def test_the_key_is_where_it_is_said_to_be_and_nowhere_else(name: str) -> None:
    secret = Bundle("sensor-001", "leaf", "leaf issuing", "TOP SECRET", "root", "f" * 64, NOW)
    files = bundle.with_programs(secret, WHOLE)
    assert b"TOP SECRET" in files[name]
    assert sum(b"TOP SECRET" in content for content in files.values()) == 2
