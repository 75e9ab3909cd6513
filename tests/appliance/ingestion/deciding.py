"""A gateway that only decides, as the tests of deciding need it."""

from collections.abc import Sequence
from itertools import repeat, takewhile

from appliance.alerts.book import Book
from appliance.alerts.model import Severity
from appliance.ingestion.decide import Decision
from appliance.ingestion.items import Item
from appliance.ingestion.known import Known, ReadingKey
from appliance.ingestion.model import Outcome
from appliance.ingestion.tally import Tally
from appliance.registry.catalogue.model import DeviceType
from appliance.telemetry.model import Report
from appliance.telemetry.rows import Identity, identity_of
from appliance.telemetry.sheaf import Sheaf
from tests.appliance.alerts.examples import COOLDOWNS, limit
from tests.appliance.ingestion.examples import TOLERANCES

LIMITS = (
    limit(rule_id=1, threshold=5, clear_threshold=4, hold_ms=4),
    limit(rule_id=2, threshold=7, severity=Severity.LOW),
    limit(rule_id=3, threshold=3, zones=("north",)),
)
BROKEN = "broken"
"""A device whose zone cannot be told: a defect of the gateway, not of the device."""


class Gateway:
    """What deciding knows, and what came of every batch."""

    def __init__(self) -> None:
        self.book = Book(COOLDOWNS)
        self.book.load(LIMITS, {})
        self.newest: dict[ReadingKey, int] = {}
        self.known = Known(self.book, self.zone_of, lambda *key: self.newest.get(key), TOLERANCES, self)
        self.expected_at: dict[tuple[int, str], int] = {}
        self.outcomes: list[Outcome] = []
        self.waiting: list[Decision] = []

    @staticmethod
    def zone_of(_: int, device_id: str) -> str:
        if device_id == BROKEN:
            raise LookupError(device_id)
        return "north" if device_id == "valve" else ""

    def identities_at(self, *moment: object) -> list[Identity]:
        reports = [report for outcome in self.outcomes for report in outcome.reports]
        return [identity_of(report) for report in reports if (report.tenant_id, report.device_id, report.at) == moment]

    def expect(self, tenant_id: int, device_id: str, at: int) -> bool:
        held = [report.at for outcome in self.outcomes for report in outcome.reports if report.device_id == device_id]
        is_later = at > max(held, default=-1) and at > self.expected_at.get((tenant_id, device_id), -1)
        self.expected_at[tenant_id, device_id] = max(at, self.expected_at.get((tenant_id, device_id), -1))
        return is_later

    def expect_all(self, sheaf: Sheaf) -> int:
        moments = zip(repeat(sheaf.tenant_id), sheaf.device_ids, sheaf.at(), strict=False)
        return sum(1 for _ in takewhile(lambda moment: self.expect(*moment), moments))

    def decide(self, messages: Sequence[Item]) -> Decision:
        decision = Decision(self.known)
        pieces_of(decision, messages)
        return decision

    def commit(self, messages: Sequence[Item]) -> Outcome:
        self.put(self.decide(messages))
        return self.remember()

    def put(self, decision: Decision) -> None:
        """Have a batch wait for its commit."""
        self.waiting.append(decision)
        self.known.unremembered.append(decision)

    def remember(self) -> Outcome:
        """Commit and remember the oldest batch that waits."""
        decision = self.waiting.pop(0)
        outcome = decision.outcome()
        self.known.merge(decision)
        for report in outcome.reports:
            for metric in report.values:
                key = (report.tenant_id, report.device_id, metric)
                self.newest[key] = max(self.newest.get(key, 0), report.at)
        self.outcomes.append(outcome)
        self.known.unremembered.popleft()
        return outcome

    def total(self) -> Outcome:
        tally = Tally()
        for outcome in self.outcomes:
            for mishap in outcome.mishaps:
                tally.note(mishap)
        return Outcome(
            tuple(sheaves_of([report for outcome in self.outcomes for report in outcome.reports])),
            tally.mishaps(),
            tuple(change for outcome in self.outcomes for change in outcome.changes),
        )


def sheaves_of(reports: Sequence[Report]) -> list[Sheaf]:
    """Reports, tenant by tenant."""
    tenant_ids = dict.fromkeys(report.tenant_id for report in reports)
    return [Sheaf(each, [report for report in reports if report.tenant_id == each]) for each in tenant_ids]


def untold(_: int, device_id: str) -> DeviceType | None:
    """The type of a device, as a gateway with a defect tells it."""
    if device_id == BROKEN:
        raise LookupError(device_id)
    return None


def pieces_of(decision: Decision, messages: Sequence[Item]) -> int:
    """Let a batch decide about messages, and count after how many pieces the loop would get its turn."""
    return sum(1 for _ in decision.deciding(messages))
