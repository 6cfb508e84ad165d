-- Something of all that a migration may do.
CREATE TABLE next_notes (run BLOB PRIMARY KEY, note TEXT NOT NULL) STRICT;
ALTER TABLE runs ADD COLUMN next_weight INTEGER NOT NULL DEFAULT 0;
ALTER TABLE events ADD COLUMN next_weight INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs ADD COLUMN next_weight INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET next_weight = version;
CREATE INDEX next_events_by_time ON events (at);
