"""The commands `telemetry export` and `telemetry import`: what they ask of the gateway, and what they print."""

import argparse
import base64
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from appliance.config import Config
from appliance.control import ControlError
from appliance.errors import InvalidInputError
from appliance.ingestion.importing.alike import Alike
from appliance.ingestion.importing.model import REFUSALS_TOLD, Tally
from appliance.instant import DAY_MS, from_text
from appliance.telemetry.coarse.model import Lacking
from appliance.telemetry.coarse.telling import sentences
from appliance.telemetry.exporting.model import Asked, Mark, Piece
from appliance.telemetry.tables.layout import Form

Ask = Callable[[Config, str, dict[str, Any]], Any]
"""Asks the gateway that runs."""

Parquet = Callable[[Iterator[str], int], Iterator[bytes]]
"""Makes Parquet of the pieces of an export, with so many megabytes of memory."""

Commands = Any
"""What `add_subparsers` gives; its type is private to argparse."""

PART_BYTES = 4 * 1024 * 1024
"""So much of a table is sent in one call."""
_ROW_BYTES = 1024 * 1024
_REFUSED = 2
_DAMAGED = 2


def add(
    commands: Commands, common: argparse.ArgumentParser, ask: Ask, clock: Callable[[], int], parquet: Parquet
) -> None:
    """Add the commands."""
    telemetry = commands.add_parser("telemetry", help="write readings to files, and take them from tables")
    actions = telemetry.add_subparsers(required=True, metavar="ACTION")
    export = actions.add_parser("export", parents=[common], help="write what devices sent, as CSV, JSON or Parquet")
    for name, words in (("device", "of this device"), ("group", "of this group"), ("zone", "in it"), ("type", "of it")):
        export.add_argument(f"--{name}", action="append", default=[], help=f"only devices {words}; may be repeated")
    export.add_argument("--select", action="append", default=[], help="metrics; with --bin aggregates: avg(flow)")
    export.add_argument("--start", default="", help="the first moment (default: a day before the end)")
    export.add_argument("--end", default="", help="the moment after the last one (default: now)")
    export.add_argument("--bin", default="", dest="width", help="the width of bins, for example 1h")
    export.add_argument("--tz", default="UTC", help="in whose midnights bins begin (UTC)")
    export.add_argument("--fill", default="none", help="what stands in empty bins: none, null or zero (none)")
    export.add_argument("--by", default="device", help="what a row of bins is of: device, group, zone, type or all")
    export.add_argument("--format", choices=list(Form), default=Form.CSV.value, dest="form", help="how (csv)")
    export.add_argument("--details", action="store_true", help="tell arrival, topic and client identifier too")
    export.add_argument("--out", type=Path, metavar="FILE", help="the file that is written (default: the terminal)")
    export.set_defaults(command=lambda options, config: _export(options, config, ask, clock(), parquet))
    table = actions.add_parser("import", parents=[common], help="take readings from a table (CSV) of any length")
    table.add_argument("file", type=Path, metavar="FILE", help="columns: device_id, time, and metrics; - is the input")
    table.add_argument("--device", default="", help="whose readings they are, where no column says so")
    table.add_argument("--dry-run", action="store_true", help="tell what would be taken, and take nothing")
    table.set_defaults(command=lambda options, config: _import(options, config, ask))


def _export(options: argparse.Namespace, config: Config, ask: Ask, now: int, parquet: Parquet) -> int:
    is_parquet = options.form == Form.PARQUET
    if is_parquet and options.out is None and sys.stdout.isatty():
        raise InvalidInputError("Parquet is nothing to be read on a terminal: say --out FILE")
    end = _moment(options.end) if options.end else now
    asked = Asked(
        start=_moment(options.start) if options.start else end - DAY_MS,
        end=end,
        select=tuple(options.select),
        width=options.width,
        zone=options.tz,
        fill=options.fill,
        by=options.by,
        form=options.form,
        is_detailed=options.details,
    )
    selected = {
        "device_ids": options.device,
        "groups": options.group,
        "zones": options.zone,
        "types": options.type,
    }
    arguments = {"asked": msgspec.to_builtins(asked), "selected": selected}
    told: list[Lacking] = []
    texts = _pieces(config, ask, arguments, told)
    if options.out is not None:
        _write(options.out, parquet(texts, config.cold.memory_mb) if is_parquet else map(str.encode, texts))
    elif is_parquet:
        sys.stdout.buffer.writelines(parquet(texts, config.cold.memory_mb))
    else:
        sys.stdout.writelines(texts)
    [lacking] = told
    for sentence in sentences(lacking):
        sys.stderr.write(f"headworks: {sentence}\n")
    return _DAMAGED if lacking.damaged_days else 0


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    # Beside its place until it is whole: a file that is there is the whole of it.
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            file.writelines(pieces)
        part.replace(path)
    except OSError as error:
        raise ControlError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _pieces(config: Config, ask: Ask, arguments: dict[str, Any], told: list[Lacking]) -> Iterator[str]:
    """The texts; at the end what they lack is added to what is told."""
    name = ask(config, "telemetry.export_begin", arguments)
    mark: Mark | None = Mark()
    while mark is not None:
        answer = ask(config, "telemetry.export", {"name": name, "mark": msgspec.to_builtins(mark)})
        piece = msgspec.convert(answer, Piece)
        yield piece.text
        mark = piece.next
        if mark is None:
            told.append(piece.lacking)


def _import(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    counts = {"rows": 0, "readings": 0, "duplicates": 0, "refused": 0}
    told = 0
    for first_line, content in _parts_of(options.file):
        arguments = {
            "content": base64.b64encode(content).decode(),
            "device_id": options.device,
            "first_line": first_line,
            "dry_run": options.dry_run,
        }
        tally = msgspec.convert(ask(config, "telemetry.import", arguments), Tally)
        for refusal in tally.refused[: max(0, REFUSALS_TOLD - told)]:
            print(f"line {refusal.line}\trefused\t{refusal.reason}")  # noqa: T201  what a command says
        told += len(tally.refused)
        counts["rows"] += tally.row_count
        counts["readings"] += tally.reading_count
        counts["duplicates"] += tally.duplicate_count
        counts["refused"] += tally.refused_count
    words = "would be taken" if options.dry_run else "taken"
    print(  # noqa: T201  what a command says
        f"{counts['rows']:,} rows: {counts['readings']:,} readings {words},"
        f" {counts['duplicates']:,} were there already, {counts['refused']:,} rows refused"
    )
    if options.dry_run:
        print("Nothing was taken: this was a dry run.")  # noqa: T201  what a command says
    return _REFUSED if counts["refused"] else 0


def _parts_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """The table in parts, each with the heading, and the line before its first row."""
    try:
        if str(path) == "-":
            yield from parts(sys.stdin.buffer, PART_BYTES)
            return
        with path.open("rb") as file:
            yield from parts(file, PART_BYTES)
    except OSError as error:
        raise ControlError(f"{path} cannot be read: {error.strerror}") from None


def parts(file: BinaryIO, part_bytes: int) -> Iterator[tuple[int, bytes]]:
    """A table in parts of about so many bytes; a row stays whole, whatever lines it has.

    Rows of one device and moment, which may be one report, stay together unless they are as much again. Each part comes
    with the heading, and with the number of the line before its first row.
    """
    heading = file.readline(_ROW_BYTES)
    alike = Alike(heading)
    part = bytearray()
    line_count = first_line = 1
    last_row = b""
    is_sent = False
    for row in _rows(file):
        if len(part) >= part_bytes and (len(part) >= 2 * part_bytes or not alike.is_one_moment(last_row, row)):
            yield first_line, heading + bytes(part)
            part.clear()
            first_line, is_sent = line_count, True
        part += row
        line_count += row.count(b"\n")
        last_row = row
    if part or not is_sent:
        yield first_line, heading + bytes(part)


def _rows(file: BinaryIO) -> Iterator[bytes]:
    row = bytearray()
    is_quoted = False
    while line := file.readline(_ROW_BYTES):
        row += line
        # Quotes inside of quoted cells come in pairs: an odd number of them leaves a cell open.
        is_quoted ^= line.count(b'"') % 2 == 1
        if line.endswith(b"\n") and (not is_quoted or len(row) >= PART_BYTES):
            yield bytes(row)
            row.clear()
    if row:
        yield bytes(row)


def _moment(text: str) -> int:
    try:
        return int(text) if text.lstrip("-").isdecimal() else from_text(text)
    except ValueError:
        raise InvalidInputError(f"{text[:64]!r} is no moment: expected ISO 8601 or epoch milliseconds") from None
