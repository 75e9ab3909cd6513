"""Commands over plain topics: `cmd/{device_id}/request/{execution_id}`, answered at `…/response/{execution_id}`.

Clients of MQTT 5 find the response topic and correlation data in the properties; every client finds the execution id in
the topic, and in a JSON payload.
"""

from functools import lru_cache
from typing import Any

import msgspec

from appliance.commands.dialects.dialect import Address, Wanted, Wire, report_of, state_of
from appliance.commands.model import JSON, Command, DialectName, State
from appliance.commands.ruling import INVALID, Refusal, Report
from appliance.instant import to_text
from broker.packets import Properties

_LEVELS = 4
_expiry = lru_cache(maxsize=16)(to_text)
"""What goes to many devices expires at one moment, and to write that takes half as long as everything else."""


class Plain:
    """The dialect of devices that know nothing of AWS."""

    name = DialectName.PLAIN

    def wire(self, command: Command, wants: Wanted) -> Wire | None:
        """The request, if the device wants it."""
        base = f"cmd/{command.device_id}"
        topic = f"{base}/request/{command.wire_id}"
        if not wants(topic):
            return None
        marks: tuple[tuple[str, str], ...] = (("execution_id", command.wire_id), ("command", command.name))
        if command.is_repeated:
            marks += (("is_repeated", "true"),)
        properties = Properties(
            payload_format_indicator=1 if command.content_type == JSON else None,
            content_type=command.content_type,
            response_topic=f"{base}/response/{command.wire_id}",
            correlation_data=command.wire_id.encode(),
            user_properties=marks,
        )
        return Wire(topic, _body(command), properties)

    def address(self, topic: str) -> Address | None:
        """What a topic says, if it is one of a response."""
        levels = topic.split("/")
        if len(levels) != _LEVELS or levels[0] != "cmd" or levels[2] != "response":
            return None
        return Address(self.name, levels[1], levels[3], f"cmd/{levels[1]}", "")

    def report(self, address: Address, payload: bytes) -> Report | Refusal:
        """What a device tells: an object with a `status`; anything else is the result of what has succeeded."""
        del address
        try:
            told: Any = msgspec.json.decode(payload) if payload else None
        except RecursionError:
            return Refusal(INVALID, "the payload is nested too deeply")
        except (msgspec.DecodeError, UnicodeDecodeError):
            return report_of(State.SUCCEEDED, "", "", payload.decode(errors="replace"))
        if not isinstance(told, dict) or "status" not in told:
            return report_of(State.SUCCEEDED, "", "", told)
        state = state_of(told["status"])
        if state is None:
            return Refusal(INVALID, f"status is {str(told['status'])[:40]!r}, which no command can have")
        return report_of(state, told.get("reason_code", ""), told.get("reason", ""), told.get("result"))

    def reply(self, address: Address, refusal: Refusal | None) -> Wire | None:
        """Nothing: what cannot be taken is shown as a problem of the device."""
        del address, refusal
        return None


def _body(command: Command) -> bytes:
    if command.content_type != JSON:
        return command.payload
    return msgspec.json.encode(
        {
            "execution_id": command.wire_id,
            "command": command.name,
            "parameters": msgspec.Raw(command.payload or b"null"),
            "expires_at": _expiry(command.expires_at),
            "is_repeated": command.is_repeated,
        }
    )
