"""What drops ask of gateway.db."""

from appliance.store.database import Select


def select_tenants() -> Select[int]:
    """Every tenant."""
    return Select("SELECT tenant_id FROM tenant ORDER BY tenant_id", (), int)
