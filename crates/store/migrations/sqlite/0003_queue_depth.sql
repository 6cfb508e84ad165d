-- How many jobs there are. Kept by the database itself, so that it is exact for every process and a launch finds out
-- for nothing whether there is room for it.
CREATE TABLE queue_depth (
    one     INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    waiting INTEGER NOT NULL
) STRICT;

INSERT INTO queue_depth (one, waiting) SELECT 1, count(*) FROM jobs;

CREATE TRIGGER jobs_one_more AFTER INSERT ON jobs
BEGIN
    UPDATE queue_depth SET waiting = waiting + 1;
END;

CREATE TRIGGER jobs_one_less AFTER DELETE ON jobs
BEGIN
    UPDATE queue_depth SET waiting = waiting - 1;
END;
