-- part: together
-- Jobs wait in lines also by what a worker must have for them, so that one which lacks it passes the whole line by.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS needs text NOT NULL DEFAULT '';  -- 'REDUCER:DIGEST' of the run; empty where an older Piton wrote it

-- part: together
-- What each worker can do, so that the others see which runs nobody can.
ALTER TABLE workers
    ADD COLUMN IF NOT EXISTS reducer bigint NOT NULL DEFAULT 3,
    ADD COLUMN IF NOT EXISTS lacks text NOT NULL DEFAULT '[]';  -- JSON: definitions that it leaves alone, and why

-- part: again until none
-- Jobs that somebody takes or changes at this moment are passed by: they are gone in a moment, or as an older Piton writes them.
WITH batch AS MATERIALIZED (SELECT run FROM jobs WHERE run > $1 ORDER BY run LIMIT 2000),
free AS MATERIALIZED (
    SELECT run FROM jobs WHERE run IN (SELECT run FROM batch) AND needs = '' FOR UPDATE SKIP LOCKED),
filled AS (
    UPDATE jobs SET agent = runs.agent_name, needs = runs.reducer || ':' || runs.agent_digest
    FROM free JOIN runs ON runs.id = free.run WHERE jobs.run = free.run)
SELECT run FROM batch ORDER BY run DESC LIMIT 1;

-- part: alone
CREATE INDEX CONCURRENTLY IF NOT EXISTS jobs_in_lines ON jobs (tenant, agent, priority, needs, due_at, run);

-- part: alone
-- Where an unreleased version made it.
DROP INDEX CONCURRENTLY IF EXISTS jobs_lines;

-- part: alone
DROP INDEX CONCURRENTLY IF EXISTS jobs_due;
