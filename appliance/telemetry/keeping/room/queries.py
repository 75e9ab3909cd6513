"""What room asks of gateway.db."""

from appliance.store.database import Select


def select_log_bytes(tenant_id: int) -> Select[int]:
    """What the records of a tenant's event log take."""
    return Select("SELECT COALESCE(SUM(LENGTH(record)), 0) FROM log WHERE tenant_id = ?", (tenant_id,), int)
