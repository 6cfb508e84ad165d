-- Jobs wait in lines also by what a worker must have for them, so that one which lacks it passes the whole line by.
ALTER TABLE jobs ADD COLUMN needs TEXT NOT NULL DEFAULT '';  -- 'REDUCER:DIGEST' of the run; empty where an older Piton wrote it

UPDATE jobs SET needs = (SELECT reducer || ':' || agent_digest FROM runs WHERE id = jobs.run);

CREATE INDEX jobs_in_lines ON jobs (tenant, agent, priority, needs, due_at, run);
DROP INDEX jobs_lines;

-- What each worker can do, so that the others see which runs nobody can.
ALTER TABLE workers ADD COLUMN reducer INTEGER NOT NULL DEFAULT 3;
ALTER TABLE workers ADD COLUMN lacks TEXT NOT NULL DEFAULT '[]';  -- JSON: definitions that it leaves alone, and why
