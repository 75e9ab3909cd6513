"""What an answer lacks is told in a sentence each, with no more dates than it takes."""

from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.coarse.telling import lacking, sentences, spoken


def test_days_are_told_by_their_dates() -> None:
    assert lacking([0, 31], [59]) == Lacking(("1970-01-01", "1970-02-01"), ("1970-03-01",))


def test_each_kind_of_lack_has_its_sentence_and_none_has_none() -> None:
    assert sentences(lacking([], [])) == []
    assert sentences(lacking([0], [])) == ["readings of 1970-01-01 are damaged or missing: some may not be here"]
    assert sentences(lacking([0], [1, 2, 3]))[1:] == [
        "of 1970-01-02 to 1970-01-04 only roll-ups are left: what needs single readings is not here"
    ]


def test_dates_that_follow_each_other_are_told_by_the_first_and_the_last() -> None:
    assert spoken(["2026-01-31"]) == "2026-01-31"
    dates = ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-03", "2026-02-05", "2026-02-06"]
    assert spoken(dates) == "2026-01-30 to 2026-02-01, 2026-02-03, 2026-02-05 to 2026-02-06"
