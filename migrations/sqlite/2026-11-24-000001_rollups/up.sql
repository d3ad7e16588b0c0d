-- What is kept of executions when their rows are gone: counts, durations and the last error of each
-- listener and job, hour by hour and day by day (UTC), by the time at which executions ended.

CREATE TABLE rollup_entities (
    id       INTEGER PRIMARY KEY,
    kind     INTEGER NOT NULL,
    app_key  TEXT    NOT NULL,
    instance INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    topic    TEXT    NOT NULL, -- empty for a job
    UNIQUE (kind, app_key, instance, name, topic)
) STRICT;

-- `span_us` is 3600000000 or 86400000000. `sum_us`, `max_us` and `sketch` speak of executions whose
-- handler ran; `sketch` counts durations in buckets that are 2 % wide to either side.
CREATE TABLE rollups (
    span_us       INTEGER NOT NULL,
    start_us      INTEGER NOT NULL,
    entity_id     INTEGER NOT NULL REFERENCES rollup_entities (id) ON DELETE CASCADE,
    success       INTEGER NOT NULL,
    error         INTEGER NOT NULL,
    timed_out     INTEGER NOT NULL,
    cancelled     INTEGER NOT NULL,
    panicked      INTEGER NOT NULL,
    skipped       INTEGER NOT NULL,
    interrupted   INTEGER NOT NULL,
    sum_us        INTEGER NOT NULL,
    max_us        INTEGER NOT NULL,
    sketch        BLOB    NOT NULL,
    last_error_us INTEGER,
    last_error    TEXT,
    PRIMARY KEY (span_us, start_us, entity_id)
) STRICT, WITHOUT ROWID;

-- Rows of `executions` with a greater id are not in the rollups yet.
CREATE TABLE rollup_progress (
    id           INTEGER PRIMARY KEY CHECK (id = 1),
    rolled_up_to INTEGER NOT NULL
) STRICT;
INSERT INTO rollup_progress (id, rolled_up_to) VALUES (1, -9223372036854775808);

-- By app, for rows whose registration is gone.
CREATE INDEX execution_orphans_by_app ON execution_orphans (app_key);

-- What was skipped did not go wrong.
DROP VIEW errors_v;
CREATE VIEW errors_v AS
SELECT v.ended, v.status, v.kind, v.app_key, v.instance, v.name, v.topic, v.execution_id,
       v.error_type, v.error_message, x.error_report
FROM executions_v v
JOIN execution_errors x ON x.id = v.id
WHERE v.status <> 'skipped';
