-- What has gone in a night of the days that go little by little, by the clock of a boot: a restart begins no new night.
CREATE TABLE retention_night (
    tenant_id INTEGER PRIMARY KEY REFERENCES tenant,
    boot_id TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    day_count INTEGER NOT NULL,
    budget_bytes INTEGER NOT NULL
) STRICT;
