-- What a job does by itself. starts says how many executions were started lately; sweep, which of those that are left
-- are still to be ended, or forgotten with the job.
CREATE TABLE job_plan (
    job_number INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    targeted_count INTEGER NOT NULL DEFAULT 0,
    starts TEXT NOT NULL DEFAULT '{}',
    sweep TEXT NOT NULL DEFAULT '' CHECK (sweep IN ('', 'queued', 'all', 'deleted')),
    is_rollout_over INTEGER NOT NULL DEFAULT 0,
    comment TEXT NOT NULL DEFAULT ''
) STRICT;

-- The devices that a job was for when it was made (JSON). Beside the plan, which is written anew with each start.
CREATE TABLE job_target (
    job_number INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    tenant_id INTEGER NOT NULL REFERENCES tenant,
    device_ids TEXT NOT NULL
) STRICT;

CREATE INDEX job_live ON job (tenant_id, job_number) WHERE ended_at IS NULL AND is_command = 0;

CREATE INDEX job_plan_sweep ON job_plan (job_number) WHERE sweep <> '';
