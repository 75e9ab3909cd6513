"""What is said of alerts: the notice that people read, and the events that pages hear."""

from collections.abc import Sequence

from appliance.alerts.model import AlertEvent, AlertOpened, AlertResolved, Change, Operator
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, to_text

SUBJECT_LIMIT = 200

_WORDS = {
    Operator.GREATER_THAN: "above",
    Operator.GREATER_OR_EQUAL: "at or above",
    Operator.LESS_THAN: "below",
    Operator.LESS_OR_EQUAL: "at or below",
}
_UNITS = ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min"), (SECOND_MS, "s"))


def write_notice(change: Change, device_name: str, alert_id: int) -> tuple[str, str]:
    """The subject, one line, and the body of the notice of an alert.

    Whatever people and devices named is put on one line first, so it cannot look like lines of ours.
    """
    limit = change.limit
    device_id = _one_line(change.device_id)
    name = _one_line(device_name)
    device = f"{name} ({device_id})" if name and name != device_id else device_id
    metric = _one_line(limit.metric)
    subject = (
        f"[{limit.severity.upper()}] Alert {alert_id}, {device}: {metric} is {change.value:g} ({_one_line(limit.name)})"
    )
    body = "\n".join(
        (
            f"{metric} of {device} is {change.value:g}.",
            f"The limit is {_limit_text(change)}.",
            "",
            f"Rule:      {_one_line(limit.name)}",
            f"Severity:  {limit.severity}",
            f"Device:    {device}",
            f"Reading:   {metric} {change.value!r} at {to_text(change.at)}",
            f"Breached:  since {_moment(change.after.breached_at)}",
            f"Opened:    {_moment(change.after.opened_at)}",
            f"Alert:     {alert_id}",
            "",
            f"It ends when {metric} is no longer {_WORDS[limit.operator]} {limit.clear_threshold:g}.",
            "",
        )
    )
    return _one_line(subject)[:SUBJECT_LIMIT], body


def announcements(events: Sequence[AlertEvent]) -> list[AlertOpened | AlertResolved]:
    """The events for the bus, in the order they happened."""
    said: list[AlertOpened | AlertResolved] = []
    for event in events:
        if event.change.opened:
            said.append(AlertOpened(event.alert))
        if event.change.resolved:
            said.append(AlertResolved(event.alert))
    return said


def length_text(length_ms: int) -> str:
    """A length of time for people, for example `1 h 5 min`; what is below a second is left out."""
    words = []
    for unit_ms, unit in _UNITS:
        count, length_ms = divmod(length_ms, unit_ms)
        if count:
            words.append(f"{count} {unit}")
    return " ".join(words) or "0 s"


def _limit_text(change: Change) -> str:
    limit = change.limit
    text = f"{_WORDS[limit.operator]} {limit.threshold:g}"
    return f"{text} for {length_text(limit.hold_ms)}" if limit.hold_ms else text


def _moment(at: int | None) -> str:
    return "unknown" if at is None else to_text(at)


def _one_line(text: str) -> str:
    """Text with every line break, control character and other character that is not printed made a blank."""
    return "".join(character if character.isprintable() else " " for character in text).strip()
