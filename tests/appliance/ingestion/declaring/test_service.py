from appliance.ingestion.declared import DeclaredUnits
from appliance.ingestion.declaring.service import Units
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import NewDevice
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.registry.examples import FakeClock


async def test_the_type_of_a_device_counts_more_than_the_device(
    registry: Registry, database: Database, clock: FakeClock
) -> None:
    async with Catalogue(registry, database, clock).opened() as catalogue:
        declared = DeclaredUnits()
        units = Units(catalogue, declared)
        counts = [units.change_count]
        await catalogue.add_device(1, NewDevice("a", type="pump"))
        counts.append(units.change_count)
        declared.hear(1, "a", {"flow": "l/s", "pressure": "bar"})
        counts.append(units.change_count)
        assert units.of(1, "a") == {"flow": "l/s", "pressure": "bar"}
        await catalogue.add_type(1, DeviceType("pump", units={"pressure": "kPa", "level": "%"}))
        counts.append(units.change_count)
        assert units.of(1, "a") == {"flow": "l/s", "pressure": "kPa", "level": "%"}
        assert [units.unit(1, "a", metric) for metric in ("flow", "pressure", "x")] == ["l/s", "kPa", ""]
        assert [dict(units.of(*key)) for key in ((1, "b"), (2, "a"))] == [{}, {}]
        assert sorted(set(counts)) == counts
