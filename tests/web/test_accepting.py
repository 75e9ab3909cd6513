import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.vitals.exposition import Form
from web.accepting import form_for

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0;q=0.75,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=0.0.4;q=0.25,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
    "text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


@pytest.mark.parametrize(
    "accept",
    [PROMETHEUS_2, PROMETHEUS_3, "application/openmetrics-text", 'Application/OpenMetrics-Text ; Version="1.0.0"'],
)
def test_whoever_asks_for_openmetrics_gets_it(accept: str) -> None:
    assert form_for(accept) is Form.OPEN_METRICS


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "text/html,application/xhtml+xml,*/*;q=0.8",
        "text/plain;version=0.0.4",
        "application/openmetrics-text;version=2.0.0",
        "application/openmetrics-text;q=0",
        "application/openmetrics-text;q=0.2,text/plain;q=0.3",
        "application/openmetrics-text;q=much",
    ],
)
def test_everybody_else_gets_the_older_text(accept: str) -> None:
    assert form_for(accept) is Form.TEXT


@given(st.text())
def test_whatever_is_asked_for_there_is_an_answer(accept: str) -> None:
    assert form_for(accept) in Form
