import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.logs import QUIET, _Line, configure


def record(message: str, *arguments: object, level: int = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("broker.server", level, "server.py", 1, message, arguments, None)


@settings(deadline=None)
@given(st.text(st.characters(), max_size=30), st.booleans())
def test_whatever_a_client_calls_itself_a_record_is_one_line_without_control_characters(
    client_id: str, for_journal: bool
) -> None:
    line = _Line(for_journal=for_journal).format(record("session opened client_id=%s", client_id))
    assert line.isprintable()
    assert "session opened client_id=" in line


def test_a_line_break_in_a_name_cannot_forge_a_line() -> None:
    line = _Line(for_journal=True).format(record("refused client_id=%s", "x\n<3>broker: all is well\x1b[2J"))
    assert line == "<6>broker.server: refused client_id=x\\n<3>broker: all is well\\x1b[2J"


@pytest.mark.parametrize(("level", "mark"), [("DEBUG", 7), ("INFO", 6), ("WARNING", 4), ("ERROR", 3), ("CRITICAL", 2)])
def test_the_journal_is_told_the_priority(level: str, mark: int) -> None:
    line = _Line(for_journal=True).format(record("stopped", level=logging.getLevelNamesMapping()[level]))
    assert line == f"<{mark}>broker.server: stopped"


def test_every_line_of_a_traceback_has_the_priority_and_no_control_characters() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("wrong\x1b[2J\n<7>forged")
    failed = record("ended by a failure", level=logging.CRITICAL)
    failed.exc_info = (caught.type, caught.value, caught.tb)
    lines = _Line(for_journal=True).format(failed).split("\n")
    assert len(lines) > 3
    assert all(line.startswith("<2>") and line.isprintable() for line in lines)
    assert "wrong\\x1b[2J" in lines[-1]


def test_a_terminal_is_shown_the_time_and_the_level() -> None:
    line = _Line(for_journal=False).format(record("stopped"))
    assert line.endswith(" INFO broker.server: stopped")
    assert line[:2] == "20"


@pytest.mark.usefixtures("globals_restored")
def test_lines_of_the_level_asked_for_go_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", for_journal=True)
    logging.getLogger("broker").info("not this")
    logging.getLogger("broker").warning("this key=%s", 1)
    assert capsys.readouterr().out == "<4>broker: this key=1\n"


@pytest.mark.usefixtures("globals_restored")
@pytest.mark.parametrize("name", QUIET)
def test_libraries_are_heard_from_warnings_upwards(capsys: pytest.CaptureFixture[str], name: str) -> None:
    configure("debug", for_journal=True)
    logging.getLogger(name).info("not this")
    logging.getLogger(name).warning("this")
    assert capsys.readouterr().out == f"<4>{name}: this\n"
