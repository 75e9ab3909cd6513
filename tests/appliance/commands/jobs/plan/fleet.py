"""Jobs over a real database and registry, and devices that ask for them one by one."""

import json
from collections.abc import Sequence

from appliance.commands.jobs import topics
from appliance.commands.jobs.plan.model import Job, JobConfig, NewJob, Progress, Targets
from appliance.commands.jobs.plan.service import JobPlans
from appliance.commands.jobs.service import Jobs
from appliance.instant import MINUTE_MS
from appliance.plane_settings import CommandsConfig
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import NewDevice
from appliance.registry.service import Registry
from appliance.store.database import Database, Work
from broker.message import Message
from tests.appliance.registry.examples import FakeClock

DOCUMENT = '{"operation": "reboot"}'


def wanted(job_id: str = "night", *, is_continuous: bool = False, **fields: object) -> NewJob:
    """A job for everybody in the group hall."""
    targets = fields.pop("targets", Targets(groups=("hall",)))
    assert isinstance(targets, Targets)
    return NewJob(
        job_id,
        DOCUMENT,
        targets,
        is_continuous=is_continuous,
        config=JobConfig(**fields),  # type: ignore[arg-type]
    )


class Fleet:
    """The parts as the gateway puts them together, but nothing goes on unless it is told to."""

    def __init__(self, database: Database, registry: Registry, catalogue: Catalogue, clock: FakeClock) -> None:
        self.database = database
        self.registry = registry
        self.catalogue = catalogue
        self.clock = clock
        self.told: list[Message] = []
        self.uptime_ms = 1_000_000
        self.jobs = Jobs(database, CommandsConfig(), clock)
        self.plans = JobPlans(database, registry, catalogue, self.jobs, clock)
        self.jobs.together = self.together
        self.jobs.publish = self.told.append
        self.jobs.ended = self.plans.ended
        self.jobs.is_open = self.plans.shows
        self.plans.tending.uptime_s = lambda: self.uptime_ms / 1_000

    async def together(self, work: Work) -> None:
        (await self.database.write(work, self.clock()))()

    def started_anew(self) -> "Fleet":
        """The same after a death: whatever was in memory is gone."""
        other = Fleet(self.database, self.registry, self.catalogue, self.clock)
        other.uptime_ms = self.uptime_ms
        return other

    async def add(self, count: int, group: str = "hall") -> list[str]:
        news = [NewDevice(f"{group}-{number:04}", groups=(group,)) for number in range(count)]
        for new in news:
            await self.catalogue.add_device(1, new)
        return [new.device_id for new in news]

    async def create(self, new: NewJob | None = None) -> Job:
        return await self.plans.create(1, new or wanted())

    async def go_on(self, minutes: float = 0) -> None:
        """Let time pass, and do what is due then."""
        self.clock.now += int(minutes * MINUTE_MS)
        self.uptime_ms += int(minutes * MINUTE_MS)
        await self.plans.tending.look_after()

    async def progress(self, job_id: str = "night") -> Progress:
        return await self.plans.progress(await self.plans.job(1, job_id))

    async def state(self, job_id: str = "night") -> str:
        return (await self.plans.job(1, job_id)).state.value

    async def begin(self, device_id: str) -> str | None:
        """Have a device begin what comes next; gives the id of the job."""
        said = await self._ask(topics.JobAddress(device_id, topics.Api.START_NEXT), {})
        execution = said.get("execution")
        return execution["jobId"] if isinstance(execution, dict) else None

    async def say(self, device_ids: Sequence[str], status: str, job_id: str = "night") -> None:
        """Have devices report."""
        for device_id in device_ids:
            await self._ask(topics.JobAddress(device_id, topics.Api.UPDATE, job_id), {"status": status})

    async def queued(self) -> list[str]:
        """The devices that have something queued."""
        found = await self.jobs.executions_of_job(1, "night", limit=100_000)
        return sorted(one.device_id for one in found if one.state == "queued")

    def events(self, start: str = "$aws/events/job/") -> list[str]:
        return [message.topic.rpartition("/")[2] for message in self.told if message.topic.startswith(start)]

    async def _ask(self, address: topics.JobAddress, said: object) -> dict[str, object]:
        answer = await self.jobs.ask(1, address, json.dumps(said).encode())
        assert answer.error is None, answer.payload
        found: dict[str, object] = json.loads(answer.payload)
        return found
