"""The topics under `$` that anything is ever published to, for devices to hear: answers, and what happens here.

A filter under `$` that matches none of them is a mistake of whoever wrote the device, and is refused with a word about
it. For all others policies decide.
"""

from collections.abc import Iterable, Sequence

_FORMS = ("json", "cbor")
_ENDS = ("accepted", "rejected")
_SHADOWS = ("$aws/things/+/shadow", "$aws/things/+/shadow/name/+")
_JOBS = "$aws/things/+/jobs"
_STREAMS = "$aws/things/+/streams/+"
_EVENTS = "$aws/events"
_JOB_ENDS = ("completed", "canceled", "deleted", "cancellation_in_progress", "deletion_in_progress")
_EXECUTION_ENDS = ("succeeded", "failed", "rejected", "canceled", "timed_out", "removed", "deleted")
_PROVISIONING = (
    "$aws/certificates/create",
    "$aws/certificates/create-from-csr",
    "$aws/provisioning-templates/+/provision",
)


def _each(bases: Sequence[str], ends: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{base}/{end}" for base in bases for end in ends)


_OF_COMMANDS = tuple(f"$aws/commands/{kind}/+/executions/+" for kind in ("things", "clients"))

HEARD = (
    # What a shadow is asked may be heard as well, as in AWS IoT.
    *_each(_SHADOWS, ("get", "update", "delete")),
    *_each(_each(_SHADOWS, ("get", "update", "delete")), _ENDS),
    *_each(_SHADOWS, ("update/delta", "update/documents")),
    *_each((_JOBS,), ("notify", "notify-next")),
    *_each(_each((_JOBS,), ("get", "start-next", "+/get", "+/update")), _ENDS),
    *_each(_each((_STREAMS,), ("description", "data", "rejected")), _FORMS),
    *_each(_each(("$aws/things/+/defender/metrics",), _FORMS), _ENDS),
    *_each(_OF_COMMANDS, ("request",)),
    *_each(_each(_OF_COMMANDS, ("request",)), _FORMS),
    *_each(_OF_COMMANDS, ("response/accepted", "response/rejected")),
    *_each(_each(_OF_COMMANDS, ("response/accepted", "response/rejected")), _FORMS),
    *_each(_each(_PROVISIONING, _FORMS), _ENDS),
    *_each((f"{_EVENTS}/presence",), ("connected/+", "disconnected/+", "connect_failed/+")),
    *_each((f"{_EVENTS}/subscriptions",), ("subscribed/+", "unsubscribed/+")),
    f"{_EVENTS}/certificates/registered/+",
    *_each((f"{_EVENTS}/job/+",), _JOB_ENDS),
    *_each((f"{_EVENTS}/jobExecution/+",), _EXECUTION_ENDS),
    f"{_EVENTS}/commandExecution/+/+",
    *_each(("$headworks/devices/+/certificate/renew",), _ENDS),
)
"""As topic filters, in which `+` is a name that differs."""


class _Level:
    """One level of the topics, and those below it."""

    __slots__ = ("below", "is_topic")

    def __init__(self) -> None:
        self.below: dict[str, _Level] = {}
        self.is_topic = False


def is_heard(topic_filter: str) -> bool:
    """Whether a filter that begins with `$` matches any of these topics."""
    reached = [_ROOT]
    for wanted in topic_filter.split("/"):
        if wanted == "#":
            return True  # Every level that was reached leads to a topic, or is one.
        reached = [below for level in reached for below in _below(level, wanted)]
        if not reached:
            return False
    return any(level.is_topic for level in reached)


def _below(level: _Level, wanted: str) -> Iterable[_Level]:
    if wanted == "+":
        return level.below.values()
    return [level.below[name] for name in (wanted, "+") if name in level.below]


def _root() -> _Level:
    root = _Level()
    for topic in HEARD:
        level = root
        for name in topic.split("/"):
            level = level.below.setdefault(name, _Level())
        level.is_topic = True
    return root


_ROOT = _root()
