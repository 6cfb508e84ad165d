-- part: together
-- Where the runs of this database are going or went ('to'), and where they came from ('from').
CREATE TABLE IF NOT EXISTS moves (
    way       text   PRIMARY KEY CHECK (way IN ('to', 'from')),
    id        text   NOT NULL,                    -- the same at both ends
    place     text   NOT NULL,                    -- the other database's URL, without a password
    stage     text   NOT NULL CHECK (stage IN ('copying', 'draining', 'closed', 'done')),
    until     bigint NOT NULL DEFAULT 0,          -- draining or closed: how long, unless it is prolonged
    copied_to text   NOT NULL DEFAULT '',         -- at the target: runs up to this id were copied once
    began_at  bigint NOT NULL,
    done_at   bigint
);

-- Runs that changed since they were copied. Triggers write it, which are there while runs are being moved.
CREATE TABLE IF NOT EXISTS moves_touched (
    run   uuid   PRIMARY KEY,
    times bigint NOT NULL
);

-- When each model endpoint may be called next, where it is limited. In microseconds (UTC): a place in its line of calls, and
-- when the tokens used so far are made good.
CREATE TABLE IF NOT EXISTS paces (
    endpoint text   PRIMARY KEY,
    call_at  bigint NOT NULL,
    token_at bigint NOT NULL
) WITH (fillfactor = 50);

-- part: together
-- Jobs wait in lines: those of one tenant, agent and priority, oldest first. Whose turn it is among the lines is chosen at
-- each claim, so that neither a long line nor one that may not go on is ever walked through.
ALTER TABLE jobs ADD COLUMN IF NOT EXISTS agent text NOT NULL DEFAULT '';  -- the run's; empty where an older Piton wrote it

-- part: together
-- A worker that takes nothing new, and ends when it has finished what it holds.
ALTER TABLE workers ADD COLUMN IF NOT EXISTS draining boolean NOT NULL DEFAULT false;
