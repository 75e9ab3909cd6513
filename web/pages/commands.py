"""The ledger of the commands of all devices."""

from typing import Annotated
from urllib.parse import urlencode

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter
from litestar.response import Template

from appliance.accounts.model import Role
from appliance.errors import NotFoundError
from appliance.gateway import Gateway
from web import orders, roles
from web.ledger import STATE_WORDS
from web.orders import Ledger
from web.painting import Painting, Stage
from web.shell import Frame

_STATES = {
    "": "in any state",
    "open": "open",
    "closed": "ended",
    **{state.value: STATE_WORDS[state] for state in STATE_WORDS},
}


@get("/commands", include_in_schema=False)
async def show_ledger(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    tab: Annotated[str, QueryParameter(name="state")] = "",
    device: FromQuery[str] = "",
    name: FromQuery[str] = "",
    batch: FromQuery[str] = "",
    before: FromQuery[str] = "",
) -> Template:
    """The page."""
    may_act = roles.is_enough(frame.user.role, Role.OPERATOR)
    asked = {"state": tab, "device": device, "name": name, "batch": batch, "before": before}
    asked = {key: text for key, text in {**asked, "acts": "yes" if may_act else ""}.items() if text}
    wanted = orders.wanted_of(asked)
    context = {
        "frame": frame,
        "now": frame.now,
        "view": await _look(Stage(gateway, frame.user.tenant_id, asked, frame.now)),
        "wanted": wanted,
        "states": _STATES,
        "back": orders.address("/commands", wanted.asked),
        "may_act": may_act,
        "live_address": "/live?" + urlencode({"view": "commands", **asked}),
    }
    return Template("pages/commands.html", context=context)


async def paint(stage: Stage) -> Painting:
    """The live ledger."""
    return orders.painting(await _look(stage))


async def _look(stage: Stage) -> Ledger:
    try:
        view = await orders.look(stage.gateway, stage.tenant_id, orders.wanted_of(stage.parameters), "/commands")
    except NotFoundError:
        # No such device, or batch: nothing is like this.
        return Ledger((), (), "", "", is_narrowed=True, all_address="/commands")
    return view if stage.parameters.get("acts") else orders.without_buttons(view)


HANDLERS = (show_ledger,)
