import re

from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.model import Device
from appliance.telemetry.promql.labels import LABELS, Choice, labels_of, name_of, without
from appliance.telemetry.promql.model import Matcher, MatchKind
from appliance.telemetry.promql.parser import NAME
from tests.appliance.telemetry.promql.devices import device


@given(st.text(min_size=1))
def test_every_metric_has_a_name_that_prometheus_can_have(metric: str) -> None:
    assert re.fullmatch(r"[A-Za-z_:][A-Za-z0-9_:]*", name_of(metric))


@given(st.text(min_size=1))
def test_the_metric_itself_stands_in_a_label(metric: str) -> None:
    assert labels_of(device("a"), metric)["metric"] == metric


def test_labels_that_are_empty_are_none() -> None:
    known: Device = device("a", zone="north", groups=("x", "y"))
    assert labels_of(known, "gps.latitude") == {
        NAME: "gps_latitude",
        "device_id": "a",
        "groups": "x,y",
        "metric": "gps.latitude",
        "zone": "north",
    }
    assert set(labels_of(known, "a")) <= set(LABELS)
    assert without({"a": "1", "b": "2"}, ["a", "c"]) == {"b": "2"}


def test_a_label_that_is_not_there_is_empty() -> None:
    def takes(kind: MatchKind, text: str) -> bool:
        return Choice([Matcher("zone", kind, text)]).takes({"type": "pump"})

    assert takes(MatchKind.EQUAL, "")
    assert takes(MatchKind.NOT_EQUAL, "north")
    assert takes(MatchKind.MATCHES, ".*")
    assert not takes(MatchKind.MATCHES_NOT, "north|")
    assert not takes(MatchKind.MATCHES, ".+")


def test_a_choice_may_be_given_up_within_a_text() -> None:
    asked: list[None] = []
    assert Choice([Matcher("zone", MatchKind.MATCHES, "n.*")]).takes({"zone": "north"}, lambda: asked.append(None))
    assert asked
