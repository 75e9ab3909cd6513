-- Where a knock comes from, as wide as one owner of addresses may be: who has many addresses does not fill the tray.
-- Of IPv4 its /24; of IPv6 it is the network that is counted together anyway.
ALTER TABLE knock ADD COLUMN origin TEXT NOT NULL DEFAULT '';
UPDATE knock SET origin = CASE WHEN network LIKE '%:%' THEN network ELSE rtrim(network, '0123456789') || '0/24' END
WHERE network <> '';
