"""How a metric of a device is named as a series, and which series a selector chooses."""

import re
from collections.abc import Callable, Iterable, Sequence

from appliance.registry.model import Device
from appliance.telemetry.promql.model import Labels, Matcher, MatchKind
from appliance.telemetry.promql.parser import NAME
from appliance.telemetry.promql.pattern import Pattern
from appliance.telemetry.wanted import Check, is_wanted

_FOREIGN = re.compile(r"[^A-Za-z0-9_:]")
LABELS = (NAME, "device_id", "device_name", "groups", "metric", "type", "zone")


def name_of(metric: str) -> str:
    """The name that Prometheus can have for a metric: what it does not know becomes an underscore."""
    name = _FOREIGN.sub("_", metric)
    return f"_{name}" if name[:1].isdigit() else name


def labels_of(device: Device, metric: str) -> Labels:
    """The labels of a series; one without a value is none."""
    told = {
        NAME: name_of(metric),
        "device_id": device.device_id,
        "device_name": device.name,
        "groups": ",".join(device.groups),
        "metric": metric,
        "type": device.type,
        "zone": device.zone,
    }
    return {label: text for label, text in told.items() if text}


class Choice:
    """The matchers of a selector, ready to be asked. What was asked once is remembered."""

    def __init__(self, matchers: Sequence[Matcher]) -> None:
        self._tests = [(matcher.label, _test(matcher)) for matcher in matchers]

    def takes(self, labels: Labels, check: Check = is_wanted) -> bool:
        """Whether a series is chosen."""
        return all(test(labels.get(label, ""), check) for label, test in self._tests)


def without(labels: Labels, left_out: Iterable[str]) -> Labels:
    """The same but for some."""
    return {label: text for label, text in labels.items() if label not in left_out}


def _test(matcher: Matcher) -> Callable[[str, Check], bool]:
    match matcher.kind:
        case MatchKind.EQUAL:
            return lambda text, _: text == matcher.text
        case MatchKind.NOT_EQUAL:
            return lambda text, _: text != matcher.text
        case _:
            pattern = Pattern(matcher.text)
            wanted = matcher.kind is MatchKind.MATCHES
            known: dict[str, bool] = {}

            def test(text: str, check: Check) -> bool:
                if text not in known:
                    known[text] = pattern.matches(text, check) is wanted
                return known[text]

            return test
