"""Reports of one device that follow each other and are alike, as columns: they are taken into memory at once."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from appliance.telemetry.model import Report, Value
from appliance.telemetry.scaled import Scaled


class LoggedReport(NamedTuple):
    """A report and the log record that holds it."""

    log_id: int
    report: Report


class Run(NamedTuple):
    """Some reports of one device and UTC day that differ in moments, sequence numbers and values only; one at least.

    In the order of the event log and of their moments.
    """

    first: Report
    """The first of them."""
    log_ids: Sequence[int]
    at: "array[int]"
    arrived_at: "array[int]"
    last_seen_at: int
    """When the last of them arrived."""
    sequences: Sequence[int | None]
    columns: Mapping[str, Sequence[Value]]
    """A column for each metric; each report has a value of each of them."""

    def cut(self, start: int, end: int) -> "Run":
        """Those from one row up to another, of which there is one at least."""
        return Run(
            self.report(start),
            self.log_ids[start:end],
            self.at[start:end],
            self.arrived_at[start:end],
            max(self.arrived_at[start:end]),
            self.sequences[start:end],
            {name: cells[start:end] for name, cells in self.columns.items()},
        )

    def logged(self) -> Iterator[LoggedReport]:
        """The same report by report."""
        columns = {name: cells.doubles() if type(cells) is Scaled else cells for name, cells in self.columns.items()}
        return map(LoggedReport, self.log_ids, map(self._replace(columns=columns).report, range(len(self.at))))

    def report(self, row: int) -> Report:
        """One of them."""
        first = self.first
        return Report(
            first.tenant_id,
            first.device_id,
            self.at[row],
            self.arrived_at[row],
            first.time_source,
            first.topic,
            first.client_id,
            {name: cells[row] for name, cells in self.columns.items()},
            self.sequences[row],
        )
