"""Commands as AWS IoT has them: `$aws/commands/{things|clients}/{id}/executions/{executionId}/request[/json|/cbor]`.

The payload is the operator's own. Where the device wants CBOR and the payload is JSON, it is written as CBOR.
"""

from typing import Any

import msgspec

from appliance.commands.dialects.dialect import Address, Cbor, Wanted, Wire, report_of, state_of
from appliance.commands.model import CBOR, JSON, Command, DialectName
from appliance.commands.ruling import INVALID, Refusal, Report
from appliance.errors import InvalidInputError
from broker.packets import Properties

PREFIX = "$aws/commands/"
_KINDS = ("things", "clients")
_FORMS = {JSON: "json", CBOR: "cbor"}
_CONTENT_TYPES = {"json": JSON, "cbor": CBOR}
_LEVELS = 7
"""Of `$aws/commands/things/{id}/executions/{executionId}/response`."""


class Aws:
    """The dialect of devices written for AWS IoT."""

    name = DialectName.AWS

    def __init__(self, cbor: Cbor) -> None:
        self._cbor = cbor

    def wire(self, command: Command, wants: Wanted) -> Wire | None:
        """The request, in the first form that the device wants."""
        if not wants.reaches(PREFIX):
            return None
        forms = self._forms(command)
        for kind in _KINDS:
            base = f"{PREFIX}{kind}/{command.device_id}/executions/{command.wire_id}"
            for form in forms:
                topic = f"{base}/request/{form}" if form else f"{base}/request"
                if wants(topic):
                    response_topic = f"{base}/response/{form}" if form else f"{base}/response"
                    return self._request(command, topic, form, response_topic)
        return None

    def address(self, topic: str) -> Address | None:
        """What a topic says, if it is one of a response."""
        if not topic.startswith(PREFIX):
            return None
        levels = topic.split("/")
        form = levels.pop() if len(levels) == _LEVELS + 1 else ""
        if len(levels) != _LEVELS or levels[2] not in _KINDS or levels[4] != "executions" or levels[6] != "response":
            return None
        if form and form not in _CONTENT_TYPES:
            return None
        return Address(self.name, levels[3], levels[5], "/".join(levels[:6]), form)

    def report(self, address: Address, payload: bytes) -> Report | Refusal:
        """What a device tells: `status`, `statusReason`, `result`."""
        try:
            told: Any = self._cbor.decode(payload) if address.form == "cbor" else msgspec.json.decode(payload)
        except (InvalidInputError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Refusal("InvalidJson" if address.form != "cbor" else INVALID, f"the payload cannot be read: {error}")
        if not isinstance(told, dict):
            return Refusal(INVALID, "the payload is no object")
        state = state_of(told.get("status"))
        if state is None:
            return Refusal(INVALID, f"status is {str(told.get('status'))[:40]!r}, which no command can have")
        reason = told.get("statusReason") or {}
        result = told.get("result")
        if not isinstance(reason, dict) or not isinstance(result, dict | None):
            return Refusal(INVALID, "statusReason and result are objects")
        return report_of(state, reason.get("reasonCode", ""), reason.get("reasonDescription", ""), result)

    def reply(self, address: Address, refusal: Refusal | None) -> Wire | None:
        """`accepted`, or `rejected` with the reason."""
        execution_id = address.wire_id
        if refusal is None:
            told, verdict = {"executionId": execution_id}, "accepted"
        else:
            told = {"error": refusal.code, "errorMessage": refusal.reason, "executionId": execution_id}
            verdict = "rejected"
        topic = f"{address.base}/response/{verdict}"
        if address.form:
            topic = f"{topic}/{address.form}"
        is_cbor = address.form == "cbor"
        payload = self._cbor.encode(told) if is_cbor else msgspec.json.encode(told)
        return Wire(topic, payload, Properties(content_type=CBOR if is_cbor else JSON))

    def _forms(self, command: Command) -> tuple[str, ...]:
        """In which forms this command can be written, the best first; the empty one is its own."""
        own = _FORMS.get(command.content_type)
        if own is None:
            return ("",)
        return ("json", "cbor", "") if own == "json" else ("cbor", "")

    def _request(self, command: Command, topic: str, form: str, response_topic: str) -> Wire:
        payload, content_type = command.payload, command.content_type
        if form == "cbor" and content_type == JSON:
            payload, content_type = self._cbor.encode(msgspec.json.decode(payload)), CBOR
        marks = (("is_repeated", "true"),) if command.is_repeated else ()
        properties = Properties(
            payload_format_indicator=1 if content_type == JSON else None,
            content_type=content_type,
            response_topic=response_topic,
            correlation_data=command.wire_id.encode(),
            user_properties=marks,
        )
        return Wire(topic, payload, properties)
