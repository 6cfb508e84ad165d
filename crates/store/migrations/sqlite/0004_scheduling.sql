-- Jobs wait in lines: those of one tenant, agent and priority, oldest first. Whose turn it is among the lines is chosen at
-- each claim, so that neither a long line nor one that may not go on is ever walked through.
ALTER TABLE jobs ADD COLUMN agent TEXT NOT NULL DEFAULT '';  -- the run's; empty where an older Piton wrote it

UPDATE jobs SET agent = (SELECT agent_name FROM runs WHERE id = jobs.run);

CREATE INDEX jobs_lines ON jobs (tenant, agent, priority, due_at, run);
DROP INDEX jobs_due;

-- A worker that takes nothing new, and ends when it has finished what it holds.
ALTER TABLE workers ADD COLUMN draining INTEGER NOT NULL DEFAULT 0;

-- When each model endpoint may be called next, where it is limited. In microseconds (UTC): a place in its line of calls, and
-- when the tokens used so far are made good.
CREATE TABLE paces (
    endpoint TEXT    NOT NULL PRIMARY KEY,
    call_at  INTEGER NOT NULL,
    token_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
