-- Something of all that a migration may do.

-- part: together
CREATE TABLE IF NOT EXISTS next_notes (run uuid PRIMARY KEY, note text NOT NULL);

-- part: together
ALTER TABLE runs ADD COLUMN IF NOT EXISTS next_weight bigint NOT NULL DEFAULT 0;

-- part: together
ALTER TABLE events ADD COLUMN IF NOT EXISTS next_weight bigint NOT NULL DEFAULT 0;

-- part: together
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS next_weight bigint NOT NULL DEFAULT 0;

-- part: together
ALTER TABLE workers ADD COLUMN IF NOT EXISTS next_weight bigint NOT NULL DEFAULT 0;

-- part: again until none
WITH batch AS MATERIALIZED (SELECT id FROM runs WHERE id > $1 ORDER BY id LIMIT 50),
free AS MATERIALIZED (
    SELECT id FROM runs WHERE id IN (SELECT id FROM batch) AND next_weight = 0 FOR UPDATE SKIP LOCKED),
filled AS (UPDATE runs SET next_weight = version FROM free WHERE runs.id = free.id)
SELECT id FROM batch ORDER BY id DESC LIMIT 1;

-- part: alone
CREATE INDEX CONCURRENTLY IF NOT EXISTS next_events_by_time ON events (at);
