"""A bundle as files."""

import shlex

from appliance.registry import bundle
from appliance.registry.model import Bundle
from tests.appliance.registry.examples import NOW

BUNDLE = Bundle("sensor-001", "leaf", "leaf issuing", "key", "root", "f" * 64, NOW)


def test_each_part_has_its_file() -> None:
    files = bundle.as_files(BUNDLE, "gateway.local", 8883)
    assert set(files) == {"certificate.pem", "key.pem", "root.pem", "README.txt"}
    assert (files["certificate.pem"], files["key.pem"], files["root.pem"]) == (b"leaf issuing", b"key", b"root")


def test_the_readme_has_a_line_that_a_shell_understands() -> None:
    readme = bundle.as_files(BUNDLE, "gateway.local", 8883)["README.txt"].decode()
    [line] = [line for line in readme.splitlines() if line.startswith("mosquitto_pub")]
    words = shlex.split(line)
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options["-i"] == "sensor-001"
    assert options["-t"] == "sensors/sensor-001/telemetry"
    assert options["-m"] == '{"temperature": 21.5}'
    assert {options[key] for key in ("--cafile", "--cert", "--key")} == {"root.pem", "certificate.pem", "key.pem"}
    assert (options["-h"], options["-p"]) == ("gateway.local", "8883")


def test_the_readme_says_until_when_and_does_not_show_the_key() -> None:
    readme = bundle.as_files(BUNDLE, "gateway.local", 8883)["README.txt"].decode()
    assert "2026-11-21T06:00:00.000Z" in readme
    assert "publish    sensors/sensor-001/#  cmd/sensor-001/response/#  fw/sensor-001/status" in readme
    assert "subscribe  cmd/sensor-001/#  fw/sensor-001/offer" in readme
