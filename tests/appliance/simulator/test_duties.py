"""What a simulated pump does with what it is told."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.demonstration import COMMANDS
from appliance.simulator.duties import FIRMWARE, MODES, Done, Pump, filters, greeting, told

REQUEST = "cmd/pump-1/request/x-1"
RESPONSE = "cmd/pump-1/response/x-1"
OWN = "$aws/things/pump-1"


def tell(topic: str, said: object, pump: Pump | None = None) -> Done:
    return told("pump-1", pump or Pump(), topic, msgspec.json.encode(said))


def answers(done: Done) -> list[tuple[str, Any]]:
    return [(saying.topic, msgspec.json.decode(saying.payload)) for saying in done.sayings]


def test_a_pump_that_is_told_a_speed_runs_at_it_and_its_shadow_says_so() -> None:
    done = tell(REQUEST, {"command": "set_speed", "parameters": {"speed": 900}})
    assert done.pump == Pump(speed_rpm=900)
    assert answers(done) == [
        (RESPONSE, {"status": "succeeded", "result": {"speed_rpm": 900}}),
        (f"{OWN}/shadow/update", {"state": {"reported": {"speed_rpm": 900, "mode": "auto", "firmware": FIRMWARE}}}),
    ]


@pytest.mark.parametrize("speed", [-1, 3_001, True, "fast", None, 1.5])
def test_a_speed_that_cannot_be_is_rejected(speed: object) -> None:
    done = tell(REQUEST, {"command": "set_speed", "parameters": {"speed": speed}})
    [(topic, said)] = answers(done)
    assert (topic, said["status"], done.pump) == (RESPONSE, "rejected", Pump())


def test_a_restart_is_in_progress_before_it_is_over() -> None:
    done = tell(REQUEST, {"command": "restart", "parameters": {}})
    assert [said["status"] for _, said in answers(done)] == ["in_progress", "succeeded"]
    assert done.sayings[0].after_s == 0 < done.sayings[1].after_s


def test_a_command_it_does_not_have_is_rejected_and_it_has_what_is_described() -> None:
    assert "no command dance" in answers(tell(REQUEST, {"command": "dance"}))[0][1]["reason"]
    for described in COMMANDS:
        parameters = {parameter.name: 1 for parameter in described.parameters}
        said = answers(tell(REQUEST, {"command": described.name, "parameters": parameters}))
        assert all(each.get("status") != "rejected" for _, each in said), described.name


def test_it_becomes_what_its_shadow_desires_and_says_so_once() -> None:
    delta = {"state": {"speed_rpm": 200, "mode": "manual", "colour": "red"}, "version": 4}
    done = tell(f"{OWN}/shadow/update/delta", delta)
    assert done.pump == Pump(200, "manual")
    [(topic, said)] = answers(done)
    assert topic == f"{OWN}/shadow/update"
    assert said["state"]["reported"]["speed_rpm"] == 200
    # The shadow still differs in what it cannot be: it does not go on about that.
    assert tell(f"{OWN}/shadow/update/delta", {"state": {"colour": "red"}}, done.pump) == Done(done.pump)


def test_a_job_is_begun_once_and_ended_and_the_next_one_follows() -> None:
    shown = {"execution": {"jobId": "rotate", "status": "QUEUED", "jobDocument": {}}}
    done = tell(f"{OWN}/jobs/notify-next", shown)
    assert [(topic, said["status"]) for topic, said in answers(done)] == [
        (f"{OWN}/jobs/rotate/update", "IN_PROGRESS"),
        (f"{OWN}/jobs/rotate/update", "SUCCEEDED"),
    ]
    assert tell(f"{OWN}/jobs/$next/get/accepted", shown, done.pump).sayings == ()
    idle = tell(f"{OWN}/jobs/notify-next", {"timestamp": 1}, done.pump)
    assert (idle.pump.job_id, idle.sayings) == ("", ())
    assert tell(f"{OWN}/jobs/notify-next", shown, idle.pump).sayings != ()


def test_when_it_is_connected_it_hears_what_it_is_told_and_says_how_it_is() -> None:
    assert len(filters("pump-1")) == 4
    assert [saying.topic for saying in greeting("pump-1", Pump())] == [f"{OWN}/shadow/update", f"{OWN}/jobs/$next/get"]


@given(
    st.sampled_from((REQUEST, f"{OWN}/shadow/update/delta", f"{OWN}/jobs/notify-next", "cmd/x", "")),
    st.binary(max_size=20)
    | st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: st.dictionaries(st.sampled_from(("command", "state", "execution", "parameters")), inner),
    ).map(msgspec.json.encode),
)
def test_nothing_that_is_said_to_it_breaks_it(topic: str, payload: bytes) -> None:
    done = told("pump-1", Pump(), topic, payload)
    assert done.pump.mode in MODES
