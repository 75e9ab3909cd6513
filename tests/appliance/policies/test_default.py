"""The default table, word for word: in the code, in the reference, and here."""

import re
from pathlib import Path

import pytest

from appliance.policies.default import TABLE, default_document
from appliance.policies.evaluate import Rights, explain
from appliance.policies.model import Action, Subject

REFERENCE = Path(__file__).parents[3] / "docs/reference/policies.md"
A = Rights(Subject("a"), [])

PUBLISHED = [
    "sensors/a/telemetry",
    "sensors/a",
    "cmd/a/response/1",
    "fw/a/status",
    "$aws/things/a/shadow/get",
    "$aws/things/a/shadow/update",
    "$aws/things/a/shadow/delete",
    "$aws/things/a/shadow/name/x/get",
    "$aws/things/a/shadow/name/x/update",
    "$aws/things/a/shadow/name/x/delete",
    "$aws/things/a/jobs/get",
    "$aws/things/a/jobs/start-next",
    "$aws/things/a/jobs/$next/get",
    "$aws/things/a/jobs/1/update",
    "$aws/things/a/streams/s/describe/json",
    "$aws/things/a/streams/s/get/cbor",
    "$aws/things/a/defender/metrics/json",
    "$aws/commands/things/a/executions/1/response",
    "$aws/commands/things/a/executions/1/response/json",
    "$aws/commands/clients/a/executions/1/response",
    "$aws/commands/clients/a/executions/1/response/cbor",
    "$headworks/devices/a/certificate/renew",
]
NOT_PUBLISHED = [
    "sensors/b/telemetry",
    "sensors",
    "cmd/a/order",
    "cmd/a",
    "fw/a/offer",
    "fw/a/status/x",
    "$aws/things/b/shadow/update",
    "$aws/things/a/shadow/update/accepted",
    "$aws/things/a/shadow/update/delta",
    "$aws/things/a/shadow/name/x/update/documents",
    "$aws/things/a/jobs/notify",
    "$aws/things/a/jobs/1/get/accepted",
    "$aws/commands/things/a/executions/1/request/json",
    "$aws/commands/things/a/executions/1/response/accepted/json",
    "$aws/commands/clients/b/executions/1/response/json",
    "$aws/commands/clients/a/executions/1/request/json",
    "$aws/rules/mine/x",
    "$aws/certificates/create/json",
    "$aws/events/presence/connected/a",
    "$SYS/x",
    "$headworks/devices/b/certificate/renew",
    "$headworks/devices/a/certificate/renew/accepted",
    "$headworks/devices/a/certificate",
]
HEARD = [
    "cmd/a/#",
    "cmd/a/+/x",
    "fw/a/offer",
    "$aws/things/a/#",
    "$aws/things/a/shadow/get/+",
    "$aws/things/a/jobs/notify-next",
    "$aws/commands/things/a/executions/+/request/json",
    "$aws/commands/clients/a/executions/+/request/json",
    "$share/g/cmd/a/#",
    "$headworks/devices/a/certificate/renew/+",
    "$headworks/devices/a/certificate/renew/accepted",
]
NOT_HEARD = [
    "#",
    "+",
    "cmd/#",
    "cmd/+/x",
    "+/a/#",
    "sensors/a/#",
    "fw/a/#",
    "fw/+/offer",
    "$SYS/#",
    "$aws/#",
    "$aws/things/+/shadow/get/accepted",
    "$aws/commands/clients/+/executions/+/request",
    "$aws/events/#",
    "$share/g/#",
    "$headworks/#",
    "$headworks/devices/+/certificate/renew/accepted",
    "$headworks/devices/a/#",
    "$headworks/devices/a/certificate/renew",
]


def test_the_table_of_the_reference_is_the_one_of_the_code() -> None:
    documented = re.findall(r"^\| ([a-z, -]+) \| `([^`]+)` \|$", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    assert documented == [(", ".join(actions), text) for actions, text in TABLE]


@pytest.mark.parametrize("topic", PUBLISHED)
def test_a_device_may_publish(topic: str) -> None:
    assert explain(A, Action.PUBLISH, topic).is_allowed


@pytest.mark.parametrize("topic", NOT_PUBLISHED)
def test_a_device_may_not_publish(topic: str) -> None:
    assert not explain(A, Action.PUBLISH, topic).is_allowed


@pytest.mark.parametrize("topic_filter", HEARD)
def test_a_device_may_subscribe(topic_filter: str) -> None:
    assert explain(A, Action.SUBSCRIBE, topic_filter).is_allowed


@pytest.mark.parametrize("topic_filter", NOT_HEARD)
def test_a_device_may_not_subscribe(topic_filter: str) -> None:
    assert not explain(A, Action.SUBSCRIBE, topic_filter).is_allowed


def test_a_device_retains_its_own_and_nothing_of_the_gateway() -> None:
    assert explain(A, Action.RETAIN_PUBLISH, "sensors/a/x").is_allowed
    assert not explain(A, Action.RETAIN_PUBLISH, "sensors/b/x").is_allowed
    assert not explain(A, Action.RETAIN_PUBLISH, "$aws/things/a/shadow/update").is_allowed


def test_no_row_is_for_two_devices() -> None:
    b = Rights(Subject("b"), [])
    for topic in PUBLISHED:
        assert not explain(b, Action.PUBLISH, topic).is_allowed
    for topic_filter in HEARD:
        assert not explain(b, Action.SUBSCRIBE, topic_filter).is_allowed


def test_each_row_is_a_statement() -> None:
    assert len(default_document().statements) == len(TABLE)
