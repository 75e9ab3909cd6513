"""`/v1/clock`: what the gateway's clock is worth, and that it is right."""

from litestar import get, post
from litestar.di import NamedDependency

from appliance.gateway import Gateway
from appliance.registry.clock.model import ClockReport


@get("/v1/clock", tags=["status"], summary="What the gateway's clock is worth")
async def get_clock(gateway: NamedDependency[Gateway]) -> ClockReport:
    """What it shows, whether that is believed, and what follows if not."""
    return gateway.registry.time.report()


@post("/v1/clock/reset", status_code=200, tags=["status"], summary="Say that the clock is right")
async def reset_clock(gateway: NamedDependency[Gateway]) -> ClockReport:
    """Take what the clock shows for what has passed, whatever was taken for that before."""
    return await gateway.registry.time.reset()


HANDLERS = (get_clock, reset_clock)
