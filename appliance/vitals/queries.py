"""SQL of the gateway's own figures."""

from appliance.store.database import Select


def select_waiting_count() -> Select[int]:
    """How many notices wait to be sent, of all tenants together."""
    return Select("SELECT count(*) FROM outbox WHERE due_at IS NOT NULL", (), int)
