"""Who follows the event log gets every report once and in order, through kills; and what came can be had once more."""

import json
import signal
from pathlib import Path

from tests.flows.listening import listening
from tests.flows.running import Device, RunningGateway, running

COUNT = 40
RESTARTS = 3


def publish(device: Device, first: int, count: int) -> None:
    for number in range(first, first + count):
        device.publish({"n": number}, number)


def test_a_reader_that_comes_back_after_kills_misses_nothing_and_gets_nothing_twice(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        bundle = gateway.add_device("pump-1")
        token = gateway.token()
        gateway.call("POST", "/v1/stream/consumers", token, json.dumps({"name": "lake"}).encode())
        assert gateway.end() == 0
    got, last_id = read_through_kills(tmp_path, token, bundle)
    assert len(got) < RESTARTS * COUNT
    with running(tmp_path) as again:
        with listening(again, token, last_id, consumer="lake") as listener:
            listener.until("begin")
            got += [event.about["values"]["n"] for event in listener.reports(RESTARTS * COUNT - len(got))]
            [told] = again.get("/v1/stream/consumers", token)["consumers"]
            assert (told["name"], told["is_reading"], told["gap"]) == ("lake", True, None)
            again.call("PUT", "/v1/stream/consumers/lake", token, json.dumps({"position": listener.last_id}).encode())
            [told] = again.get("/v1/stream/consumers", token)["consumers"]
            assert told["lag_reports"] == 0
            again.process.send_signal(signal.SIGTERM)
            [end] = listener.until("end")
            assert "stopping" in end.about["why"]
        assert again.wait() == 0, again.output
    assert got == list(range(RESTARTS * COUNT))


def read_through_kills(tmp_path: Path, token: str, bundle: Path) -> tuple[list[int], str]:
    """Read a part of what a device says in each of several lives; gives the numbers, and the last event's id."""
    got: list[int] = []
    last_id = ""
    for life in range(RESTARTS):
        gateway = RunningGateway(tmp_path)
        gateway.wait_ready()
        with listening(gateway, token, last_id, consumer="lake") as listener:
            begin = listener.next()
            assert begin is not None
            assert (begin.kind, begin.about["source"]) == ("begin", "log")
            device = Device(gateway, "pump-1", bundle).wait_connected()
            publish(device, life * COUNT, COUNT)
            device.wait_acknowledged(COUNT)
            # What was acknowledged is not yet all read when the plug is pulled.
            waiting = len(got)
            got += [event.about["values"]["n"] for event in listener.reports((life + 1) * COUNT - waiting - 7)]
            last_id = listener.last_id
            gateway.end(signal.SIGKILL)
            device.close()
    return got, last_id


def test_what_came_is_had_once_more_from_the_log_and_from_the_days(tmp_path: Path) -> None:
    settings = "[telemetry]\nseal_after_ms = 200_000\nseal_after_reports = 10\n[stream]\nhold_mb = 0\n"
    with running(tmp_path, settings) as gateway:
        token = gateway.token()
        with listening(gateway, token, topic="sensors/pump-1/#") as live:
            live.until("begin")
            for name in ("pump-1", "pump-2"):
                device = Device(gateway, name).wait_connected()
                publish(device, 0, COUNT)
                device.wait_acknowledged(COUNT)
                device.close()
            followed = live.reports(COUNT)
            assert [event.about["values"]["n"] for event in followed] == list(range(COUNT))
        asked = {"from": followed[0].about["arrived_at"], "device": "pump-1", "speed": "max"}
        with listening(gateway, token, **asked) as listener:
            [begin, *told] = listener.until("end")
        fresh = [event for event in told if event.kind == "report"]
        assert [event.about for event in fresh] == [event.about for event in followed]
        assert told[-1].event_id == "end"
        while gateway.get("/v1/storage", token)["log_bytes"] > 0:
            # The chunks are sealed within ten seconds, and then the log goes.
            pass
        with listening(gateway, token, **asked) as listener:
            [begin, *told] = listener.until("end")
        # What is left of the interval, in which nothing came, may be had from the log.
        old = [event for event in told if event.kind == "report"]
        assert begin.about["source"] == "chunks"
        assert [event[:2] for event in old] == [event[:2] for event in fresh]
        assert [event.about for event in old] == [event.about for event in fresh]
        with listening(gateway, token, old[9].event_id, **asked) as listener:
            again = [event.event_id for event in listener.until("end") if event.kind == "report"]
        assert again == [event.event_id for event in old[10:]]
        printed = gateway.command("replay", "--from", asked["from"], "--device", "pump-1")
        assert [json.loads(line) for line in printed.splitlines()] == [event.about for event in old]
