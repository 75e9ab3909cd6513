-- What was issued up to this certificate was issued before a person set the mark, maybe by a clock that was wrong.
ALTER TABLE clock_mark ADD COLUMN certificate_number INTEGER NOT NULL DEFAULT 0;
