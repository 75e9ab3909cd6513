"""The command line asks the cold tier of a gateway that runs."""

from pathlib import Path
from typing import Any, cast

import pytest

from appliance.console_cold import calls
from appliance.gateway import Gateway
from appliance.telemetry.cold.model import ColdError
from tests.appliance.telemetry.cold.rig import ColdGateway


async def test_it_is_told_how_it_stands_and_why_nothing_can_be_uploaded(tmp_path: Path) -> None:
    nothing: dict[str, Any] = {}
    async with ColdGateway(tmp_path).running() as gateway:
        known = calls(cast("Gateway", gateway))
        assert (await known["cold.status"](nothing)).day_count == 0
        with pytest.raises(ColdError, match="no bucket"):
            await known["cold.upload"](nothing)
        await known["cold.upload-soon"](nothing)
        assert gateway.cold._rounds.is_asked
