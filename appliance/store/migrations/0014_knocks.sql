-- Who knocks may do so with a certificate that it made itself, and say more of itself.
-- For such a one, `request` holds its public key (SubjectPublicKeyInfo, DER).
ALTER TABLE knock ADD COLUMN way TEXT NOT NULL DEFAULT 'request' CHECK (way IN ('request', 'certificate'));
ALTER TABLE knock ADD COLUMN network TEXT NOT NULL DEFAULT '';
ALTER TABLE knock ADD COLUMN knock_count INTEGER NOT NULL DEFAULT 1;
ALTER TABLE knock ADD COLUMN wanted_id TEXT NOT NULL DEFAULT '';
ALTER TABLE knock ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE knock ADD COLUMN fetched_at INTEGER;
