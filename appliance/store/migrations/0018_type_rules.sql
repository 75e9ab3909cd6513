-- What the readings of a type's metrics are to be, and what becomes of metrics that it does not know.

ALTER TABLE device_type ADD COLUMN metrics TEXT NOT NULL DEFAULT '{}';
ALTER TABLE device_type ADD COLUMN unknown_metrics TEXT NOT NULL DEFAULT 'keep';
