"""In which unit each metric of a device is: as its type says, or else as the device itself declared it."""

from collections.abc import Mapping

from appliance.ingestion.declared import DeclaredUnits
from appliance.registry.catalogue.service import Catalogue


class Units:
    """What is known of units, from memory."""

    def __init__(self, catalogue: Catalogue, declared: DeclaredUnits) -> None:
        self._catalogue = catalogue
        self._declared = declared

    @property
    def change_count(self) -> int:
        """Goes up whenever a unit may have become another: what was made of them may be old."""
        return self._catalogue.type_change_count + self._declared.change_count

    def of(self, tenant_id: int, device_id: str) -> Mapping[str, str]:
        """The known units of a device by metric. Nobody changes them."""
        declared = self._declared.of(tenant_id, device_id)
        kind = self._catalogue.type_of(tenant_id, device_id)
        if kind is None or not kind.units:
            return declared
        return {**declared, **kind.units} if declared else kind.units

    def unit(self, tenant_id: int, device_id: str, metric: str) -> str:
        """The unit of a metric of a device; empty when it is not known."""
        return self.of(tenant_id, device_id).get(metric, "")
