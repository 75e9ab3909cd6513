"""The rooms that devices ask for something, wired to a house as the process wires them."""

from contextlib import AsyncExitStack
from typing import Any

from appliance.bus import Bus
from appliance.commands.dialects.dialect import Cbor
from appliance.commands.jobs.plan.service import JobPlans
from appliance.commands.jobs.service import Jobs
from appliance.commands.service import Commands
from appliance.ingestion import cbor
from appliance.ingestion.service import Ingestion
from appliance.instant import Clock
from appliance.plane_settings import CommandsConfig, ShadowsConfig
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.service import Registry
from appliance.shadows.service import Shadows
from appliance.store.database import Database
from broker.server import Broker


async def rooms(
    stack: AsyncExitStack, database: Database, registry: Registry, ingestion: Ingestion, broker: Broker, bus: Bus
) -> dict[str, Any]:
    """By the names of the gateway's fields; what runs, runs as long as the stack."""
    clock: Clock = ingestion._clock
    shadows = Shadows(database, ShadowsConfig(), clock)
    jobs = Jobs(database, CommandsConfig(), clock)
    for room in (shadows, jobs):
        room.together, room.publish, room.announce = ingestion.together, broker.publish, bus.announce
        ingestion.company.rooms += (room,)
    jobs.reply = broker.reply
    await stack.enter_async_context(jobs.running())
    catalogue = Catalogue(registry, database, clock)
    plans = JobPlans(database, registry, catalogue, jobs, clock)
    jobs.ended, jobs.is_open = plans.ended, plans.shows
    await stack.enter_async_context(plans.running())
    commands = Commands(database, registry, catalogue, CommandsConfig(), clock)
    commands.follow(ingestion.together, Cbor(cbor.encode, cbor.decode), ingestion.first)
    commands.speak_jobs(jobs)
    commands.publish, commands.answer, commands.note, commands.bus = broker.publish, broker.answer, ingestion.note, bus
    ingestion.company.rooms += (commands,)
    await stack.enter_async_context(commands.running(broker))
    return {"shadows": shadows, "jobs": jobs, "job_plans": plans, "commands": commands}
