"""What a simulated pump does with what it is told: commands, what its shadow is to be, and jobs. Pure.

It speaks as real devices do: commands over plain topics, shadow and jobs as those of AWS IoT.
"""

import msgspec
from msgspec.structs import replace

FIRMWARE = "1.4.2"
FASTEST_RPM = 3_000
RESTART_S = 3.0
JOB_S = 5.0
"""How long it takes over a job."""

_OPEN = frozenset(("QUEUED", "IN_PROGRESS"))
_Fields = dict[str, object]


class Pump(msgspec.Struct, frozen=True):
    """How the pump is set, and what it is busy with."""

    speed_rpm: int = 1_450
    mode: str = "auto"
    job_id: str = ""


class Saying(msgspec.Struct, frozen=True):
    """Something that the pump says, at once or after a while."""

    topic: str
    payload: bytes
    after_s: float = 0.0


class Done(msgspec.Struct, frozen=True):
    """What came of something it was told."""

    pump: Pump
    sayings: tuple[Saying, ...] = ()


MODES = ("auto", "manual")


def filters(device_id: str) -> tuple[str, ...]:
    """What it subscribes to."""
    own = _own(device_id)
    return (
        f"cmd/{device_id}/request/+",
        f"{own}/shadow/update/delta",
        f"{own}/jobs/notify-next",
        f"{own}/jobs/$next/get/accepted",
    )


def greeting(device_id: str, pump: Pump) -> tuple[Saying, ...]:
    """What it says when it is connected: how it is, and whether there is work."""
    return (_reported(device_id, pump), Saying(f"{_own(device_id)}/jobs/$next/get", b"{}"))


def told(device_id: str, pump: Pump, topic: str, payload: bytes) -> Done:
    """What it does with a message; with what it does not understand, nothing."""
    try:
        said = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        said = None
    if not isinstance(said, dict):
        said = {}
    match topic.removeprefix(_own(device_id)).split("/"):
        case ["cmd", _, "request", execution_id]:
            return _commanded(device_id, pump, execution_id, said)
        case ["", "shadow", "update", "delta"]:
            return _followed(device_id, pump, said)
        case ["", "jobs", "notify-next"] | ["", "jobs", "$next", "get", "accepted"]:
            return _worked(device_id, pump, said)
        case _:
            return Done(pump)


def _commanded(device_id: str, pump: Pump, execution_id: str, said: _Fields) -> Done:
    topic = f"cmd/{device_id}/response/{execution_id}"
    asked = said.get("parameters")
    parameters: _Fields = asked if isinstance(asked, dict) else {}
    match said.get("command"):
        case "set_speed":
            changed = _set(pump, {"speed_rpm": parameters.get("speed")})
            if changed is None:
                return Done(pump, (_rejected(topic, f"speed is a whole number of 0 to {FASTEST_RPM}"),))
            done = {"status": "succeeded", "result": {"speed_rpm": changed.speed_rpm}}
            return Done(changed, (_saying(topic, done, 1.0), _reported(device_id, changed)))
        case "restart":
            done = {"status": "succeeded", "result": {"firmware": FIRMWARE}}
            return Done(pump, (_saying(topic, {"status": "in_progress"}), _saying(topic, done, RESTART_S)))
        case command:
            return Done(pump, (_rejected(topic, f"this pump has no command {str(command)[:40]}"),))


def _followed(device_id: str, pump: Pump, said: _Fields) -> Done:
    """Become what its shadow desires, as far as it can be; the rest stays a difference."""
    state = said.get("state")
    wanted: _Fields = state if isinstance(state, dict) else {}
    changed = pump
    for name, value in wanted.items():
        changed = _set(changed, {name: value}) or changed
    return Done(pump) if changed == pump else Done(changed, (_reported(device_id, changed),))


def _worked(device_id: str, pump: Pump, said: _Fields) -> Done:
    execution = said.get("execution")
    fields: _Fields = execution if isinstance(execution, dict) else {}
    job_id, state = fields.get("jobId"), fields.get("status")
    if not isinstance(job_id, str) or state not in _OPEN:
        return Done(replace(pump, job_id=""))
    if job_id == pump.job_id:
        return Done(pump)
    topic = f"{_own(device_id)}/jobs/{job_id}/update"
    begun = _saying(topic, {"status": "IN_PROGRESS", "statusDetails": {"step": "working"}})
    ended = _saying(topic, {"status": "SUCCEEDED", "statusDetails": {"step": "done"}}, JOB_S)
    return Done(replace(pump, job_id=job_id), (begun, ended))


def _set(pump: Pump, wanted: _Fields) -> Pump | None:
    """The pump with something set otherwise; None when it cannot be."""
    match wanted:
        case {"speed_rpm": int(speed)} if not isinstance(speed, bool) and 0 <= speed <= FASTEST_RPM:
            return replace(pump, speed_rpm=speed)
        case {"mode": str(mode)} if mode in MODES:
            return replace(pump, mode=mode)
        case _:
            return None


def _reported(device_id: str, pump: Pump) -> Saying:
    reported = {"speed_rpm": pump.speed_rpm, "mode": pump.mode, "firmware": FIRMWARE}
    return _saying(f"{_own(device_id)}/shadow/update", {"state": {"reported": reported}})


def _rejected(topic: str, reason: str) -> Saying:
    return _saying(topic, {"status": "rejected", "reason_code": "NOT_UNDERSTOOD", "reason": reason})


def _saying(topic: str, said: object, after_s: float = 0.0) -> Saying:
    return Saying(topic, msgspec.json.encode(said), after_s)


def _own(device_id: str) -> str:
    return f"$aws/things/{device_id}"
