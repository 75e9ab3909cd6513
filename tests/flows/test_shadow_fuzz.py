"""Whatever is sent to a shadow, over MQTT or HTTPS, is accepted or refused, and what is refused changes nothing."""

import http.client
import json
import queue
import ssl
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from tests.flows.est import SETTINGS, shared_port
from tests.flows.running import Device, RunningGateway, running

PATIENCE_S = 20.0
OWN = "$aws/things/pump/shadow"
QUICK = "\n[ingestion]\ncommit_interval_ms = 0\nanswer_interval_ms = 0\n"
REFUSALS = {400, 409, 413, 415}
LARGEST = 131_072

ODD = st.sampled_from(
    [
        *("1e999", "-1e999", "1e-999", "123456789012345678901234567890", "-0", "0.1", "1E2", "NaN", "Infinity", "01"),
        *("1.", ".5", "nul", "'a'", "", ",", "null", "true", "[null]", "[[null]]", '{"a":null}', '{"":1}', "{}", "[]"),
        *('{"a":1,"a":2}', r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', r'"\x"', '"\t"', '"é"', '"🌡"', "7", "-7"),
        *('"' + "x" * 64 + '"', '"' + "é" * 64 + '"', '"' + "x" * 8_190 + '"', '"' + "x" * 9_000 + '"'),
        *('{"a":' * depth + "1" + "}" * depth for depth in (5, 7, 8, 9, 12, 2_000)),
        *("[" * 2_000 + "]" * 2_000, "[" * 9_000, '{"a":' * 4_000),
    ]
)
"""Pieces of JSON, and of what is almost JSON."""
KEYS = st.sampled_from(['"desired"', '"reported"', '"delta"', '"a"', '"b"', '"metadata"', r'"\ud800"', "a", '""'])


def object_of(keys: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(keys, values).map(":".join), max_size=3)
    return pairs.map(lambda some: "{" + ",".join(some) + "}")


VALUES: st.SearchStrategy[str] = st.recursive(
    ODD | st.integers(-3, 3).map(str),
    lambda inner: object_of(KEYS, inner) | st.lists(inner, max_size=3).map(lambda some: "[" + ",".join(some) + "]"),
    max_leaves=6,
)
SECTIONS = object_of(st.sampled_from(['"desired"', '"reported"']), object_of(st.sampled_from(['"a"', '"b"']), VALUES))
REQUESTS = st.one_of(
    object_of(st.sampled_from(['"state"', '"state"', '"version"', '"clientToken"', '"other"']), SECTIONS | VALUES).map(
        str.encode
    ),
    SECTIONS.map(lambda state: f'{{"state":{state}}}'.encode()),
    st.tuples(ODD, ODD).map(lambda odd: f'{{"state":{{"desired":{{"a":{odd[0]}}}}},"version":{odd[1]}}}'.encode()),
    ODD.map(lambda odd: f'{{"state":{{"reported":{{"a":{odd}}}}}}}'.encode()),
    ODD.map(lambda odd: f'{{"state":{{"reported":{{"a":1}}}},"clientToken":{odd}}}'.encode()),
    VALUES.map(str.encode) | st.binary(max_size=40),
    # One that is good, with a hole or a stranger in it.
    st.tuples(st.integers(0, 50), st.integers(0, 50), st.binary(max_size=3)).map(
        lambda cut: (good := b'{"state":{"desired":{"a":[1,{"b":"on"}]}}}')[: cut[0]] + cut[2] + good[cut[1] :]
    ),
).map(lambda payload: payload[:LARGEST])
"""No larger than a message of AWS IoT may be; one that is larger is among the examples below."""


class Pump:
    """A device that asks over both ways, and what it knows of its shadows."""

    def __init__(self, gateway: RunningGateway) -> None:
        bundle = gateway.add_device("pump")
        self.heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self.device = Device(gateway, "pump", bundle).wait_connected()
        client = self.device.client
        client.on_message = lambda _client, _data, message: self.heard.put((message.topic, json.loads(message.payload)))
        granted: queue.Queue[Any] = queue.Queue()
        client.on_subscribe = lambda *told: granted.put(told[3])
        for verb in ("get", "update", "delete"):
            client.subscribe([(f"{OWN}/{verb}/+", 1), (f"{OWN}/name/+/{verb}/+", 1)])
            assert [code.value for code in granted.get(timeout=PATIENCE_S)] == [1, 1]
        context = ssl.create_default_context(cafile=str(bundle / "root.pem"))
        context.load_cert_chain(bundle / "certificate.pem", bundle / "key.pem")
        context.set_alpn_protocols(["x-amzn-http-ca"])
        port = shared_port(gateway)
        self._http = http.client.HTTPSConnection("localhost", port, timeout=PATIENCE_S, context=context)

    def over_https(self, name: str, method: str, payload: bytes) -> tuple[int, Any]:
        query = f"?name={name}" if name else ""
        self._http.request(method, f"/things/pump/shadow{query}", payload or None)
        answer = self._http.getresponse()
        return answer.status, json.loads(answer.read())

    def over_mqtt(self, name: str, verb: str, payload: bytes) -> None:
        self.device.client.publish(f"{place(name)}/{verb}", payload, qos=1)

    def begin(self, name: str) -> Any:
        """The shadow, with something in it, and nothing left to be heard."""
        self.over_mqtt(name, "update", b'{"state":{"desired":{"a":{"b":1}},"reported":{"a":[1]}}}')
        shadow, [(word, _)] = self.known(name)
        assert word == "update/accepted"
        return shadow

    def known(self, name: str) -> tuple[Any, list[tuple[str, Any]]]:
        """The shadow as it is, None if it is not there; and what was answered before that."""
        self.over_mqtt(name, "get", b'{"clientToken":"fence"}')
        before = []
        while True:
            topic, told = self.heard.get(timeout=PATIENCE_S)
            word = topic.removeprefix(place(name) + "/")
            if word.startswith("get/") and told.get("clientToken") == "fence":
                break
            if not word.endswith(("/delta", "/documents")):
                before.append((word, told))
        if word == "get/accepted":
            return (told["version"], told["state"], told["metadata"]), before
        assert told["code"] == 404
        return None, before

    def close(self) -> None:
        self._http.close()
        self.device.close()


def place(name: str) -> str:
    return f"{OWN}/name/{name}" if name else OWN


@pytest.fixture(scope="module")
def pump(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pump]:
    with running(tmp_path_factory.mktemp("fuzz"), SETTINGS + QUICK) as gateway:
        device = Pump(gateway)
        yield device
        device.close()


@given(st.sampled_from(["", "config"]), st.sampled_from(["update", "update", "update", "get", "delete"]), REQUESTS)
@example("", "update", b"x" * (LARGEST + 1))
@example("config", "get", b"[" * 100_000)
def test_over_mqtt_each_request_has_its_one_answer_and_the_connection_stays(
    pump: Pump, name: str, verb: str, payload: bytes
) -> None:
    before = pump.begin(name)
    pump.over_mqtt(name, verb, payload)
    after, answers = pump.known(name)
    [(word, told)] = answers
    assert word in (f"{verb}/accepted", f"{verb}/rejected")
    assert not pump.device.is_gone.is_set()
    event(f"{word} {told.get('code', '')}")
    if word.endswith("/rejected"):
        assert told["code"] in (REFUSALS if verb == "update" else {404, *REFUSALS})
        assert after == before
    elif verb == "get":
        assert after == before
    elif verb == "delete":
        assert after is None
    else:
        assert after[0] == told["version"] == before[0] + 1


@given(st.sampled_from(["", "config"]), REQUESTS)
@example("", b"x" * (LARGEST + 1))
def test_over_https_nothing_is_the_gateways_fault(pump: Pump, name: str, payload: bytes) -> None:
    before = pump.begin(name)
    status, told = pump.over_https(name, "POST", payload)
    after, answers = pump.known(name)
    event(f"{status}")
    if status == 200:
        # Whoever listens over MQTT hears of it.
        assert answers == [("update/accepted", told)]
        assert after[0] == told["version"] == before[0] + 1
    else:
        assert status in REFUSALS, told
        assert told["message"]
        assert after == before
        assert all(word == "update/rejected" for word, _ in answers)
