-- What a time server said that is not believed yet, and for how long it had stood by it then.
ALTER TABLE clock_mark ADD COLUMN doubted_at INTEGER;
ALTER TABLE clock_mark ADD COLUMN doubt_held_ms INTEGER;

-- When certificates were issued says nothing of the time: they may have been issued by a clock that was wrong.
ALTER TABLE clock_mark DROP COLUMN certificate_number;
