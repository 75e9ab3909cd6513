import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.histogram import Histogram
from appliance.vitals.exposition import Form, number, written
from appliance.vitals.model import Buckets, Family, Kind, Sample
from tests import exposition

FORMS = st.sampled_from(list(Form))
NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,9}_seconds", fullmatch=True)
LABELS = st.dictionaries(st.from_regex(r"[a-km-z][a-z0-9_]{0,5}", fullmatch=True), st.text(max_size=8), max_size=3)
VALUES = st.one_of(st.integers(0, 2**64), st.floats(0, allow_nan=False))


def read(text: str, form: Form) -> dict[str, exposition.Family]:
    return exposition.read(text, is_open_metrics=form is Form.OPEN_METRICS)


@given(NAMES, st.sampled_from([Kind.COUNTER, Kind.GAUGE]), st.lists(st.tuples(LABELS, VALUES), min_size=1), FORMS)
def test_what_is_written_reads_as_it_was(
    name: str, kind: Kind, told: list[tuple[dict[str, str], float]], form: Form
) -> None:
    values = {frozenset(labels.items()): float(value) for labels, value in told}
    samples = tuple(Sample(value, tuple(labels)) for labels, value in values.items())
    [(found, family)] = read(written([Family(name, kind, "What it is.", samples)], form), form).items()
    has_suffix = kind is Kind.COUNTER and form is Form.TEXT
    assert found == (f"{name}_total" if has_suffix else name)
    assert family.kind == kind.value
    assert {labels: value for (_, labels), value in family.samples.items()} == values


@given(st.lists(st.integers(0, 10**10)), LABELS, FORMS)
def test_a_histogram_reads_as_it_was(lengths_us: list[int], labels: dict[str, str], form: Form) -> None:
    histogram = Histogram()
    for length in lengths_us:
        histogram.observe(length)
    family = Family("wait_seconds", Kind.HISTOGRAM, "", (Buckets(histogram, tuple(labels.items())),))
    found = read(written([family], form), form)["wait_seconds"]
    assert found.value("_count", **labels) == len(lengths_us)
    assert found.value("_sum", **labels) == pytest.approx(sum(lengths_us) / 1_000_000)
    assert found.value("_bucket", **labels, le="0.01") == sum(length <= 10_000 for length in lengths_us)
    assert found.value("_bucket", **labels, le="1.0") == sum(length <= 1_000_000 for length in lengths_us)


@given(st.text(), FORMS)
def test_what_is_told_stays_on_one_line(told: str, form: Form) -> None:
    family = Family("up", Kind.GAUGE, told, (Sample(1),))
    assert read(written([family], form), form)["up"].value() == 1.0


def test_the_older_text_is_written_as_its_specification_shows_it() -> None:
    families = [
        Family("requests", Kind.COUNTER, "How\nmany.", (Sample(3, (("code", '4"0\\4'),)), Sample(2.5))),
        Family("nothing", Kind.GAUGE, "Has no samples."),
        Family("built", Kind.INFO, "What runs.", (Sample(1, (("version", "1"),)),)),
        Family("wait_seconds", Kind.GAUGE, "How long.", (Sample(math.inf),)),
    ]
    assert written(families, Form.TEXT) == (
        "# HELP requests_total How\\nmany.\n# TYPE requests_total counter\n"
        'requests_total{code="4\\"0\\\\4"} 3\nrequests_total 2.5\n'
        '# HELP built_info What runs.\n# TYPE built_info gauge\nbuilt_info{version="1"} 1\n'
        "# HELP wait_seconds How long.\n# TYPE wait_seconds gauge\nwait_seconds +Inf\n"
    )


def test_openmetrics_names_families_without_suffix_tells_units_and_ends_with_a_mark() -> None:
    families = [
        Family("cpu_seconds", Kind.COUNTER, "Used.", (Sample(3),)),
        Family("built", Kind.INFO, 'What "runs".', (Sample(1, (("version", "1"),)),)),
    ]
    assert written(families, Form.OPEN_METRICS) == (
        "# HELP cpu_seconds Used.\n# TYPE cpu_seconds counter\n# UNIT cpu_seconds seconds\ncpu_seconds_total 3\n"
        '# HELP built What \\"runs\\".\n# TYPE built info\nbuilt_info{version="1"} 1\n# EOF\n'
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (2**64, "18446744073709551616"),
        (0.0001, "0.0001"),
        (1.0, "1.0"),
        (-math.inf, "-Inf"),
        (math.nan, "NaN"),
    ],
)
def test_numbers_are_written_so_that_they_stay_the_same(value: float, text: str) -> None:
    assert number(value) == text
