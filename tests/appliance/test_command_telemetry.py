import argparse
import base64
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import command_telemetry
from appliance.command_telemetry import parts
from appliance.config import Config
from appliance.control import ControlError
from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS
from tests.appliance.telemetry.reports import NOON

CELLS = st.sampled_from(["1", "a,b", '"x\ny"', '"q""q"', ""])
tables = st.lists(st.lists(CELLS, min_size=1, max_size=3).map(",".join), max_size=20)


@given(tables, st.integers(1, 40), st.booleans())
def test_a_table_in_parts_is_the_table(lines: list[str], size: int, is_ended: bool) -> None:
    body = "\n".join(lines) + ("\n" if is_ended else "")
    found = list(parts(io.BytesIO(b"device_id,time,x\n" + body.encode()), size))
    assert all(content.startswith(b"device_id,time,x\n") for _, content in found)
    rows = [content.removeprefix(b"device_id,time,x\n") for _, content in found]
    assert b"".join(rows) == body.encode()
    before = 1
    for (first_line, _), content in zip(found, rows, strict=True):
        assert first_line == before
        before += content.count(b"\n")
        assert content.count(b'"') % 2 == 0


def test_rows_of_one_moment_stay_together_unless_they_are_as_much_again() -> None:
    heading, row = b"device_id,time,metric,value\n", b"a,%d,x,1\n"
    moments = [0, 1, 1, 1, 2, *[3] * 9, 4]
    rows = [row % at for at in moments]
    size = len(rows[0])
    found = list(parts(io.BytesIO(heading + b"".join(rows)), 3 * size))
    assert b"".join(content.removeprefix(heading) for _, content in found) == b"".join(rows)
    counts = [content.count(b"\n") - 1 for _, content in found]
    assert counts == [4, 6, 4, 1]
    assert [first_line for first_line, _ in found] == [1, 5, 11, 15]


def test_an_empty_file_is_asked_about_too() -> None:
    assert list(parts(io.BytesIO(b""), 10)) == [(1, b"")]


class Gateway:
    """Answers in the place of one that runs, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def ask(self, _: Config, call: str, arguments: dict[str, Any]) -> Any:
        self.asked.append((call, arguments))
        return self.answers.pop(0)

    def parquet(self, texts: Iterator[str], memory_mb: int) -> Iterator[bytes]:
        return (f"{memory_mb} {text}".encode() for text in texts)

    def run(self, *arguments: str | Path) -> int:
        parser = argparse.ArgumentParser()
        commands = parser.add_subparsers()
        command_telemetry.add(commands, argparse.ArgumentParser(add_help=False), self.ask, lambda: NOON, self.parquet)
        options = parser.parse_args(["telemetry", *map(str, arguments)])
        status: int = options.command(options, Config())
        return status


PIECES = ("a name", {"text": "a,b\r\n", "next": {"place": 1, "at": 5}}, {"text": "1,2\r\n", "next": None})


def test_pieces_are_asked_for_until_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    gateway = Gateway(*PIECES)
    assert gateway.run("export", "--device", "a", "--select", "flow", "--details") == 0
    assert capsys.readouterr().out == "a,b\r\n1,2\r\n"
    calls, (begun, first, second) = zip(*gateway.asked, strict=True)
    assert calls == ("telemetry.export_begin", "telemetry.export", "telemetry.export")
    assert (begun["asked"]["start"], begun["asked"]["end"]) == (NOON - DAY_MS, NOON)
    assert begun["selected"]["device_ids"] == ["a"]
    assert first["name"] == second["name"] == "a name"
    assert (first["mark"]["place"], second["mark"]["place"], second["mark"]["at"]) == (0, 1, 5)


@pytest.mark.parametrize(
    ("lacking", "status", "said"),
    [
        ({"coarse_days": ["2026-01-30"]}, 0, ["of 2026-01-30 only roll-ups are left"]),
        ({"damaged_days": ["2026-01-31"]}, 2, ["readings of 2026-01-31 are damaged or missing"]),
    ],
)
def test_what_an_export_lacks_is_said_beside_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lacking: dict[str, Any], status: int, said: list[str]
) -> None:
    out = tmp_path / "out.csv"
    pieces = (*PIECES[:2], {"text": "1,2\r\n", "next": None, "lacking": lacking})
    assert Gateway(*pieces).run("export", "--out", out) == status
    assert out.read_bytes() == b"a,b\r\n1,2\r\n"
    printed = capsys.readouterr()
    assert [line.split(":")[1].strip() for line in printed.err.splitlines()] == said
    assert printed.out == ""


def test_parquet_is_made_of_the_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.parquet"
    assert Gateway(*PIECES).run("export", "--format", "parquet", "--out", out) == 0
    memory_mb = Config().cold.memory_mb
    made = f"{memory_mb} a,b\r\n{memory_mb} 1,2\r\n".encode()
    assert out.read_bytes() == made
    piped = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", piped)
    assert Gateway(*PIECES).run("export", "--format", "parquet") == 0
    assert piped.buffer.getvalue() == made
    monkeypatch.setattr(piped, "isatty", lambda: True)
    with pytest.raises(InvalidInputError, match="--out"):
        Gateway().run("export", "--format", "parquet")


def test_a_file_is_there_once_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert Gateway(*PIECES).run("export", "--out", out, "--start", "2026-01-30", "--end", str(NOON)) == 0
    assert out.read_bytes() == b"a,b\r\n1,2\r\n"
    with pytest.raises(IndexError):
        Gateway(*PIECES[:2]).run("export", "--out", tmp_path / "broken.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]
    with pytest.raises(ControlError, match="cannot be written"):
        Gateway(*PIECES).run("export", "--out", tmp_path / "no" / "out.csv")
    with pytest.raises(InvalidInputError, match="no moment"):
        Gateway().run("export", "--start", "soon")


TALLY = {
    "is_dry_run": False,
    "row_count": 2,
    "reading_count": 1,
    "duplicate_count": 3,
    "refused_count": 0,
    "refused": [],
}


def test_what_became_of_a_table_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "t.csv"
    table.write_text("time,x\n0,1\n")
    gateway = Gateway(TALLY)
    assert gateway.run("import", table, "--device", "a") == 0
    [(call, arguments)] = gateway.asked
    assert (call, arguments["device_id"], arguments["dry_run"]) == ("telemetry.import", "a", False)
    assert base64.b64decode(arguments["content"]) == table.read_bytes()
    assert capsys.readouterr().out == "2 rows: 1 readings taken, 3 were there already, 0 rows refused\n"
    refused = {**TALLY, "refused_count": 1, "refused": [{"line": 7, "reason": "no"}]}
    assert Gateway(refused).run("import", table, "--dry-run") == 2
    assert capsys.readouterr().out.splitlines() == [
        "line 7\trefused\tno",
        "2 rows: 1 readings would be taken, 3 were there already, 1 rows refused",
        "Nothing was taken: this was a dry run.",
    ]
    with pytest.raises(ControlError, match="cannot be read"):
        Gateway().run("import", tmp_path / "none.csv")
