-- Times are microseconds since 1970-01-01T00:00:00Z (`_us`), flags and statuses are numbers;
-- the views of the next migration spell them out. References are deferred: an immediate foreign
-- key makes a multi-row insert keep a journal of its own and costs a third of the speed.

CREATE TABLE sessions (
    id                 INTEGER PRIMARY KEY,
    session_uuid       BLOB    NOT NULL UNIQUE,
    host               TEXT    NOT NULL,
    pid                INTEGER NOT NULL,
    started_us         INTEGER NOT NULL,
    heartbeat_us       INTEGER NOT NULL,
    stopped_us         INTEGER,
    status             TEXT    NOT NULL CHECK (status IN ('running', 'success', 'failure', 'crashed')),
    error_type         TEXT,
    error_message      TEXT,
    error_report       TEXT,
    offered            INTEGER NOT NULL DEFAULT 0,
    recovered          INTEGER NOT NULL DEFAULT 0,
    stored             INTEGER NOT NULL DEFAULT 0,
    waiting            INTEGER NOT NULL DEFAULT 0,
    spooled            INTEGER NOT NULL DEFAULT 0,
    filtered           INTEGER NOT NULL DEFAULT 0,
    dropped_overflow   INTEGER NOT NULL DEFAULT 0,
    dropped_exhausted  INTEGER NOT NULL DEFAULT 0,
    dropped_constraint INTEGER NOT NULL DEFAULT 0,
    dropped_unstorable INTEGER NOT NULL DEFAULT 0,
    dropped_damaged    INTEGER NOT NULL DEFAULT 0,
    dropped_shutdown   INTEGER NOT NULL DEFAULT 0
) STRICT;

-- AUTOINCREMENT: the id of a deleted registration is never given to another one, or a record
-- that arrives late would be taken for the newcomer's.
CREATE TABLE listeners (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    app_key             TEXT    NOT NULL,
    instance            INTEGER NOT NULL,
    name                TEXT    NOT NULL,
    topic               TEXT    NOT NULL,
    instance_name       TEXT,
    source_tier         TEXT    NOT NULL CHECK (source_tier IN ('app', 'framework')),
    timeout_us          INTEGER,
    description         TEXT,
    guard_description   TEXT,
    source_location     TEXT,
    registration_source TEXT,
    entity              TEXT,
    overlap             TEXT,
    overlap_limit       INTEGER,
    priority            INTEGER NOT NULL DEFAULT 0,
    once                INTEGER NOT NULL DEFAULT 0,
    immediate           INTEGER NOT NULL DEFAULT 0,
    debounce_us         INTEGER,
    throttle_us         INTEGER,
    hold_us             INTEGER,
    retired_us          INTEGER,
    removed_us          INTEGER,
    UNIQUE (app_key, instance, name, topic)
) STRICT;

CREATE TABLE scheduled_jobs (
    id                  INTEGER PRIMARY KEY AUTOINCREMENT,
    app_key             TEXT    NOT NULL,
    instance            INTEGER NOT NULL,
    name                TEXT    NOT NULL,
    handler_name        TEXT,
    trigger_type        TEXT    NOT NULL,
    trigger_label       TEXT,
    trigger_detail      TEXT,
    job_group           TEXT,
    arguments_json      TEXT,
    instance_name       TEXT,
    source_tier         TEXT    NOT NULL CHECK (source_tier IN ('app', 'framework')),
    timeout_us          INTEGER,
    description         TEXT,
    guard_description   TEXT,
    source_location     TEXT,
    registration_source TEXT,
    entity              TEXT,
    overlap             TEXT,
    overlap_limit       INTEGER,
    priority            INTEGER NOT NULL DEFAULT 0,
    once                INTEGER NOT NULL DEFAULT 0,
    immediate           INTEGER NOT NULL DEFAULT 0,
    debounce_us         INTEGER,
    throttle_us         INTEGER,
    hold_us             INTEGER,
    retired_us          INTEGER,
    removed_us          INTEGER,
    UNIQUE (app_key, instance, name)
) STRICT;

-- `id` is the time of recording (start + duration) in microseconds, moved up where it is taken,
-- so that session, time and retention queries are ranges of the primary key.
-- `flags`: 1 dependency failure, 2 thread leaked, 4 overran, 8 framework tier,
-- 16 timed out by deadline, 32 timed out by the handler's own word.
CREATE TABLE executions (
    id             INTEGER PRIMARY KEY,
    execution_id   BLOB    NOT NULL UNIQUE,
    kind           INTEGER NOT NULL CHECK (kind BETWEEN 0 AND 15),
    status         INTEGER NOT NULL CHECK (status BETWEEN 0 AND 63),
    session_id     INTEGER NOT NULL REFERENCES sessions (id)
                   ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED,
    listener_id    INTEGER REFERENCES listeners (id)
                   ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    job_id         INTEGER REFERENCES scheduled_jobs (id)
                   ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED,
    start_us       INTEGER NOT NULL,
    duration_us    INTEGER NOT NULL CHECK (duration_us >= 0),
    flags          INTEGER NOT NULL DEFAULT 0,
    blocked_us     INTEGER,
    retry_count    INTEGER NOT NULL DEFAULT 0,
    attempt_number INTEGER NOT NULL DEFAULT 1,
    trigger_id     TEXT,
    trigger_origin TEXT,
    trigger_mode   TEXT,
    args_json      TEXT,
    CHECK (listener_id IS NULL OR job_id IS NULL)
) STRICT;
CREATE INDEX executions_by_listener ON executions (listener_id) WHERE listener_id IS NOT NULL;
CREATE INDEX executions_by_job ON executions (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX executions_by_status ON executions (status) WHERE status <> 0;

CREATE TABLE execution_errors (
    id            INTEGER PRIMARY KEY REFERENCES executions (id)
                  ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    error_type    TEXT NOT NULL,
    error_message TEXT NOT NULL,
    error_report  TEXT
) STRICT;

-- What a row belonged to whose listener or job does not exist.
CREATE TABLE execution_orphans (
    id       INTEGER PRIMARY KEY REFERENCES executions (id)
             ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    app_key  TEXT    NOT NULL,
    instance INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    topic    TEXT
) STRICT;

-- Whoever deletes a registration, its rows go on saying what they belonged to.
CREATE TRIGGER listeners_keep_history BEFORE DELETE ON listeners
BEGIN
    INSERT INTO execution_orphans (id, app_key, instance, name, topic)
    SELECT id, OLD.app_key, OLD.instance, OLD.name, OLD.topic
    FROM executions WHERE listener_id = OLD.id;
END;
CREATE TRIGGER scheduled_jobs_keep_history BEFORE DELETE ON scheduled_jobs
BEGIN
    INSERT INTO execution_orphans (id, app_key, instance, name, topic)
    SELECT id, OLD.app_key, OLD.instance, OLD.name, NULL
    FROM executions WHERE job_id = OLD.id;
END;

-- Episodes of loss. What is missing is part of the history.
CREATE TABLE gaps (
    id         INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE RESTRICT,
    reason     TEXT    NOT NULL,
    count      INTEGER NOT NULL CHECK (count > 0),
    first_us   INTEGER NOT NULL,
    last_us    INTEGER NOT NULL,
    UNIQUE (session_id, reason, first_us)
) STRICT;
CREATE TABLE gap_entities (
    gap_id   INTEGER NOT NULL REFERENCES gaps (id) ON DELETE CASCADE,
    kind     INTEGER NOT NULL,
    app_key  TEXT    NOT NULL,
    instance INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    topic    TEXT    NOT NULL,
    count    INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (gap_id, kind, app_key, instance, name, topic)
) STRICT, WITHOUT ROWID;
