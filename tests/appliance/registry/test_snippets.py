"""Programs for one device: whatever it is called, they say the same of it. Flows run those that can be run."""

import ast
import shlex
from collections.abc import Callable

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
