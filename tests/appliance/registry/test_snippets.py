"""Programs for one device: whatever it is called, they say the same of it. Flows run those that can be run.

Those for boards are compiled for this machine, with stand-ins for the headers of their toolchains: what is misspelt,
or is given a wrong argument, is found. It is not shown that a board runs them.
"""

import ast
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry import snippets
from appliance.registry.snippets import Place
from tests.appliance.registry.examples import device_ids

hosts = st.sampled_from(("gateway.local", "192.0.2.7", "fe80::1"))
ports = st.integers(1, 65_535)
places = st.builds(Place, device_ids, hosts, ports, ports)
OF_EACH = [
    snippets.shell_publish,
    snippets.shell_subscribe,
    snippets.paho,
    snippets.aws_sdk,
    snippets.aws_sdk_alpn,
    snippets.aws_sdk_v1,
    snippets.arduino,
    snippets.esp_idf,
]


@pytest.mark.parametrize("snippet", OF_EACH)
@given(place=places)
def test_a_program_names_its_device_its_host_and_its_port(snippet: Callable[[Place], str], place: Place) -> None:
    text = snippet(place)
    port = place.shared_port if snippet is snippets.aws_sdk_alpn else place.mqtt_port
    assert place.device_id in text
    assert place.host in text
    assert str(port) in text


@pytest.mark.parametrize("snippet", [snippets.paho, snippets.aws_sdk, snippets.aws_sdk_alpn, snippets.aws_sdk_v1])
@given(place=places)
def test_python_is_python(snippet: Callable[[Place], str], place: Place) -> None:
    ast.parse(snippet(place))


@given(place=places)
def test_a_shell_takes_each_line_as_one_command(place: Place) -> None:
    for line in (snippets.publish_line(place), snippets.subscribe_line(place)):
        words = shlex.split(line)
        assert words[words.index("-i") + 1] == place.device_id
        assert words[words.index("-h") + 1] == place.host


def test_the_braces_of_c_are_balanced() -> None:
    place = Place("sensor-001", "gateway.local", 8883, None)
    for text in (snippets.arduino(place), snippets.esp_idf(place)):
        for opening, closing in ("{}", "()"):
            assert text.count(opening) == text.count(closing)
    assert "mqtts://[fe80::1]:8883" in snippets.esp_idf(Place("a", "fe80::1", 8883, None))


def test_the_sketch_s_header_holds_root_certificate_and_key() -> None:
    header = snippets.arduino_certificates("the root", "the chain", "the key")
    for name, text in (("ROOT", "the root"), ("CERTIFICATE", "the chain"), ("KEY", "the key")):
        assert f'{name}[] = R"PEM({text})PEM"' in header


HEADERS = Path(__file__).parent / "headers"
STRICT = ("-fsyntax-only", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror")
needs_compiler = pytest.mark.skipif(
    not (shutil.which("gcc") and shutil.which("g++")), reason="there is no compiler: apt-get install g++"
)


def refusal_of_sketch(text: str, folder: Path) -> str:
    """What a compiler says against a sketch, as Arduino gives it to one; empty when it is good."""
    (folder / "certificates.h").write_text(snippets.arduino_certificates("the root", "the chain", "the key"))
    (folder / "sketch.ino").write_text(text)
    arduino = ("-std=gnu++17", "-x", "c++", "-include", "Arduino.h", "-I", str(HEADERS / "arduino"))
    return refusal("g++", *arduino, str(folder / "sketch.ino"))


def refusal_of_component(text: str, folder: Path) -> str:
    """What a compiler says against a file of ESP-IDF; empty when it is good."""
    (folder / "main.c").write_text(text)
    return refusal("gcc", "-std=gnu17", "-I", str(HEADERS / "esp_idf"), str(folder / "main.c"))


def refusal(*command: str) -> str:
    compiler, *rest = command
    done = subprocess.run([compiler, *STRICT, *rest], capture_output=True, text=True, check=False, timeout=60)
    assert bool(done.returncode) == bool(done.stderr)
    return done.stderr


OF_BOARDS = [(snippets.arduino, refusal_of_sketch), (snippets.esp_idf, refusal_of_component)]
Compiled = tuple[Callable[[Place], str], Callable[[str, Path], str]]


@needs_compiler
@pytest.mark.parametrize("compiled", OF_BOARDS)
@pytest.mark.parametrize("host", ["gateway.local", "fe80::1"])
def test_what_is_for_a_board_compiles(compiled: Compiled, host: str, tmp_path: Path) -> None:
    snippet, refusal_of = compiled
    assert refusal_of(snippet(Place("sensor:001_a", host, 8883, None)), tmp_path) == ""


@needs_compiler
@pytest.mark.parametrize(
    ("compiled", "right", "wrong"),
    [
        (OF_BOARDS[0], "setCACert(ROOT)", "setCaCert(ROOT)"),
        (OF_BOARDS[0], "setPrivateKey(KEY)", "setPrivateKey(SECRET)"),
        (OF_BOARDS[0], "setServer(", "setServer(8883, "),
        (OF_BOARDS[0], "byte* payload", "char* payload"),
        (OF_BOARDS[0], "delay(5000);", "delay(5000)"),
        (OF_BOARDS[0], '"refused, state %d:', '"refused, state %s:'),
        (OF_BOARDS[1], ".broker.verification.certificate", ".cert_pem"),
        (OF_BOARDS[1], ".authentication.key", ".authentication.private_key"),
        (OF_BOARDS[1], "reading, 0, 1, 0)", "reading, 0, 1)"),
        (OF_BOARDS[1], "event->topic_len", "event->topic"),
        (OF_BOARDS[1], "MQTT_EVENT_CONNECTED", "MQTT_EVENT_CONNECT"),
    ],
)
def test_what_is_misspelt_does_not_compile(compiled: Compiled, right: str, wrong: str, tmp_path: Path) -> None:
    snippet, refusal_of = compiled
    text = snippet(Place("sensor-001", "gateway.local", 8883, None))
    assert right in text
    assert "error: " in refusal_of(text.replace(right, wrong), tmp_path)
