"""Errors of plugins are counted always and logged once."""

import pytest

from broker.plugins.faults import Faults


def _failed(text: str) -> ValueError:
    with pytest.raises(ValueError, match=text) as failure:
        int(text)
    return failure.value


def test_the_first_error_of_a_kind_is_logged_with_its_place_and_without_its_text(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faults = Faults()
    for _ in range(3):
        faults.note("a plugin", "close", _failed("hunter2"))
    faults.note("a plugin", "authenticate", ValueError("hunter2"))
    assert faults.counts == {("str", "close", "ValueError"): 3, ("str", "authenticate", "ValueError"): 1}
    first, second = (record.getMessage() for record in caplog.records)
    assert "plugin failed plugin=str method=close error=ValueError" in first
    assert "test_faults.py:" in first
    assert second.endswith("at=unknown")
    assert "hunter2" not in caplog.text
