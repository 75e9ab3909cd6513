"""Which rows of a table in a file tell of one device and moment, found without taking the rows."""

import csv
import io
from collections.abc import Sequence

from appliance.ingestion.importing.table import separator
from appliance.telemetry.tables.layout import DEVICE, MOMENTS


class Alike:
    """The columns that say whose reading it is and when."""

    def __init__(self, heading: bytes) -> None:
        text = _text(heading).removeprefix("\ufeff")
        self._separator = separator(text)
        names = [name.strip().lower() for name in self._cells(text)]
        self._places = [place for place, name in enumerate(names) if name == DEVICE or name in MOMENTS]

    def is_one_moment(self, one: bytes, other: bytes) -> bool:
        """Whether two rows are of the same device and moment, written alike."""
        return self._told(one) == self._told(other)

    def _told(self, row: bytes) -> list[str]:
        cells = self._cells(_text(row))
        return [cells[place] if place < len(cells) else "" for place in self._places]

    def _cells(self, row: str) -> Sequence[str]:
        try:
            return next(csv.reader(io.StringIO(row, newline=""), delimiter=self._separator), [])
        except csv.Error:
            # The gateway tells what is wrong with it.
            return []


def _text(row: bytes) -> str:
    return row.decode("utf-8", "replace")
