"""What gateway.db knows of the keys in certificates."""

from appliance.registry.holders.model import Holder, KeyedCertificate
from appliance.store.database import Select


def select_certificates_after(certificate_number: int, limit: int) -> Select[KeyedCertificate]:
    """The next certificates of every tenant, in the order in which they were issued."""
    sql = """
        SELECT certificate_number, tenant_id, pem FROM certificate
        WHERE certificate_number > ? ORDER BY certificate_number LIMIT ?
    """
    return Select(sql, (certificate_number, limit), KeyedCertificate)


def select_holder(tenant_id: int, certificate_number: int) -> Select[Holder]:
    """Whose certificate this is, and whether it was taken back."""
    sql = """
        SELECT device_id, revoked_at FROM certificate JOIN device USING (tenant_id, device_number)
        WHERE tenant_id = ? AND certificate_number = ?
    """
    return Select(sql, (tenant_id, certificate_number), Holder)
