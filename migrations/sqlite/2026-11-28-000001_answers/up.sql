-- A history that answers why. What rows of earlier sessions do not say is null here and stays unknown; sessions from
-- now on count what they store (`is_counted`).

-- The name of this history, by which it is told from another one at the same path.
CREATE TABLE history (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    history_id BLOB    NOT NULL CHECK (length(history_id) = 16)
) STRICT;
INSERT INTO history (id, history_id) VALUES (1, randomblob(16));

-- `pruned`: its rows that were pruned. `taken_over`: its rows that a later process stored. `ledger_state`: null
-- until it was closed or its spool was taken over; `rebuilt` after damage. `trusted_us`: its last sign of life while its clock was trusted.
ALTER TABLE sessions ADD COLUMN is_counted INTEGER NOT NULL DEFAULT 0 CHECK (is_counted IN (0, 1));
ALTER TABLE sessions ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN taken_over INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN ledger_state TEXT CHECK (ledger_state IN ('final', 'rebuilt'));
ALTER TABLE sessions ADD COLUMN trusted_us INTEGER;
ALTER TABLE sessions ADD COLUMN program TEXT;
ALTER TABLE sessions ADD COLUMN version TEXT;
ALTER TABLE sessions ADD COLUMN config_hash TEXT;

-- How many rows a session has stored and lost to pruning, by the hour (UTC) in which the executions ended. Raised by
-- the transactions that store and prune, so that rows + pruned = stored at any time.
CREATE TABLE session_hours (
    session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    hour_us    INTEGER NOT NULL,
    stored     INTEGER NOT NULL DEFAULT 0 CHECK (stored >= 0),
    pruned     INTEGER NOT NULL DEFAULT 0 CHECK (pruned >= 0),
    PRIMARY KEY (session_id, hour_us)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_hours_by_hour ON session_hours (hour_us);

-- `due_us` is null unless a schedule began the execution; `topic_id` is null where the listener's own topic says it.
CREATE TABLE topics (
    id   INTEGER PRIMARY KEY,
    text TEXT    NOT NULL UNIQUE
) STRICT;
ALTER TABLE executions ADD COLUMN topic_id INTEGER REFERENCES topics (id)
    ON DELETE SET NULL DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE executions ADD COLUMN due_us INTEGER;
ALTER TABLE executions ADD COLUMN exit_code INTEGER;
CREATE INDEX executions_by_topic ON executions (topic_id) WHERE topic_id IS NOT NULL;
-- Shorter ones end within a minute of a window that they overlap.
CREATE INDEX executions_of_a_minute ON executions (id) WHERE duration_us >= 60000000;

-- What executions said. `body` has a line for each line: microseconds since the start, a letter for the level (E W I D T)
-- or the stream (o, e), the target in brackets, and the text. `total_` counts what was said, kept or not.
CREATE TABLE execution_lines (
    id          INTEGER PRIMARY KEY REFERENCES executions (id)
                ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    lines       INTEGER NOT NULL,
    total_lines INTEGER NOT NULL,
    total_bytes INTEGER NOT NULL,
    flags       INTEGER NOT NULL DEFAULT 0, -- 1 a binary output, of which nothing is kept
    body        TEXT    NOT NULL
) STRICT;

-- Planned runs that neither began nor were skipped, as episodes. They name their job themselves: it may be gone.
CREATE TABLE missed_runs (
    id           INTEGER PRIMARY KEY,
    app_key      TEXT    NOT NULL,
    instance     INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    reason       TEXT    NOT NULL,
    count        INTEGER NOT NULL CHECK (count > 0),
    first_due_us INTEGER NOT NULL,
    last_due_us  INTEGER NOT NULL,
    session_id   INTEGER REFERENCES sessions (id) ON DELETE SET NULL,
    UNIQUE (app_key, instance, name, first_due_us, reason)
) STRICT;

-- Pauses of one schedule, or of all (`name` is null). One that goes on has no end.
CREATE TABLE pauses (
    id         INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    app_key    TEXT,
    instance   INTEGER,
    name       TEXT,
    from_us    INTEGER NOT NULL,
    until_us   INTEGER
) STRICT;
CREATE UNIQUE INDEX pauses_of_whom ON pauses (session_id, from_us, coalesce(app_key, ''), coalesce(instance, 0), coalesce(name, ''));

-- What was pruned, by rule and hour, and when its executions ended. `session_id` is null where a person pruned.
CREATE TABLE prunes (
    id         INTEGER PRIMARY KEY,
    session_id INTEGER REFERENCES sessions (id) ON DELETE CASCADE,
    rule       TEXT    NOT NULL,
    hour_us    INTEGER NOT NULL,
    count      INTEGER NOT NULL CHECK (count > 0),
    first_us   INTEGER NOT NULL,
    last_us    INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX prunes_of_an_hour ON prunes (hour_us, rule, coalesce(session_id, 0));

-- Where a session's events came from, and what became of their lines.
CREATE TABLE sources (
    id         INTEGER PRIMARY KEY,
    session_id INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    lines      INTEGER NOT NULL DEFAULT 0,
    events     INTEGER NOT NULL DEFAULT 0,
    bad_lines  INTEGER NOT NULL DEFAULT 0,
    unheard    INTEGER NOT NULL DEFAULT 0,
    UNIQUE (session_id, name)
) STRICT;
-- Events that nobody listened to. An empty topic stands for all beyond the first thousand.
CREATE TABLE source_topics (
    source_id INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    hour_us   INTEGER NOT NULL,
    topic     TEXT    NOT NULL,
    count     INTEGER NOT NULL CHECK (count > 0),
    PRIMARY KEY (source_id, hour_us, topic)
) STRICT, WITHOUT ROWID;
CREATE TABLE source_bad_lines (
    source_id INTEGER NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    line      INTEGER NOT NULL,
    at_us     INTEGER NOT NULL,
    problem   TEXT    NOT NULL,
    text      TEXT    NOT NULL,
    PRIMARY KEY (source_id, line)
) STRICT, WITHOUT ROWID;

-- What people did through the dashboard: who, from where, when.
CREATE TABLE actions (
    id         INTEGER PRIMARY KEY,
    session_id INTEGER REFERENCES sessions (id) ON DELETE SET NULL,
    at_us      INTEGER NOT NULL,
    who        TEXT    NOT NULL,
    origin     TEXT    NOT NULL,
    action     TEXT    NOT NULL,
    target     TEXT    NOT NULL,
    outcome    TEXT    NOT NULL
) STRICT;

-- Which schedule a job had when.
CREATE TABLE schedules (
    id         INTEGER PRIMARY KEY,
    job_id     INTEGER NOT NULL REFERENCES scheduled_jobs (id) ON DELETE CASCADE,
    from_us    INTEGER NOT NULL,
    until_us   INTEGER,
    text       TEXT    NOT NULL,
    zone       TEXT,
    jitter_us  INTEGER NOT NULL DEFAULT 0,
    missed     TEXT    NOT NULL,
    persistent INTEGER NOT NULL DEFAULT 0 CHECK (persistent IN (0, 1)),
    UNIQUE (job_id, from_us)
) STRICT;

-- Who had what registered when. `kind` and `registration` name a row of `listeners` or `scheduled_jobs`.
CREATE TABLE session_registrations (
    session_id   INTEGER NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    kind         INTEGER NOT NULL,
    registration INTEGER NOT NULL,
    from_us      INTEGER NOT NULL,
    until_us     INTEGER,
    PRIMARY KEY (session_id, kind, registration, from_us)
) STRICT, WITHOUT ROWID;
CREATE INDEX session_registrations_of_one ON session_registrations (kind, registration);

ALTER TABLE scheduled_jobs ADD COLUMN last_due_us INTEGER;
ALTER TABLE scheduled_jobs ADD COLUMN next_due_us INTEGER;
ALTER TABLE scheduled_jobs ADD COLUMN program TEXT;
ALTER TABLE listeners ADD COLUMN program TEXT;

-- What nothing here acts on is one JSON object: `immediate`, and `debounce_us`, `throttle_us`, `hold_us`.
ALTER TABLE listeners ADD COLUMN annotations TEXT;
ALTER TABLE scheduled_jobs ADD COLUMN annotations TEXT;
UPDATE listeners SET annotations = json_patch('{}', json_object(
    'immediate', CASE WHEN immediate THEN json('true') END,
    'debounce_us', debounce_us, 'throttle_us', throttle_us, 'hold_us', hold_us))
WHERE immediate OR coalesce(debounce_us, throttle_us, hold_us) IS NOT NULL;
UPDATE scheduled_jobs SET annotations = json_patch('{}', json_object(
    'immediate', CASE WHEN immediate THEN json('true') END,
    'debounce_us', debounce_us, 'throttle_us', throttle_us, 'hold_us', hold_us))
WHERE immediate OR coalesce(debounce_us, throttle_us, hold_us) IS NOT NULL;
ALTER TABLE listeners DROP COLUMN immediate;
ALTER TABLE listeners DROP COLUMN debounce_us;
ALTER TABLE listeners DROP COLUMN throttle_us;
ALTER TABLE listeners DROP COLUMN hold_us;
ALTER TABLE scheduled_jobs DROP COLUMN immediate;
ALTER TABLE scheduled_jobs DROP COLUMN debounce_us;
ALTER TABLE scheduled_jobs DROP COLUMN throttle_us;
ALTER TABLE scheduled_jobs DROP COLUMN hold_us;

-- The views, for people and for SQLite's own date functions: words, times in UTC, and the same times as numbers.
DROP VIEW gaps_v;
DROP VIEW errors_v;
DROP VIEW executions_v;
DROP VIEW sessions_v;

CREATE VIEW executions_v AS
SELECT
    e.id,
    lower(format('%s-%s-%s-%s-%s',
        substr(hex(e.execution_id), 1, 8), substr(hex(e.execution_id), 9, 4),
        substr(hex(e.execution_id), 13, 4), substr(hex(e.execution_id), 17, 4),
        substr(hex(e.execution_id), 21))) AS execution_id,
    CASE e.kind WHEN 0 THEN 'handler' WHEN 1 THEN 'job' ELSE format('unknown (%d)', e.kind) END AS kind,
    CASE e.status
        WHEN 0 THEN 'success' WHEN 1 THEN 'error' WHEN 2 THEN 'timed_out' WHEN 3 THEN 'cancelled'
        WHEN 4 THEN 'panicked' WHEN 5 THEN 'skipped' WHEN 6 THEN 'interrupted'
        ELSE format('unknown (%d)', e.status) END AS status,
    CASE WHEN e.flags & 8 THEN 'framework' ELSE 'app' END AS source_tier,
    coalesce(l.app_key, j.app_key, o.app_key) AS app_key,
    coalesce(l.instance, j.instance, o.instance) AS instance,
    coalesce(l.name, j.name, o.name) AS name,
    coalesce(t.text, l.topic, o.topic) AS topic,
    coalesce(l.topic, o.topic) AS listens_to,
    strftime('%Y-%m-%d %H:%M:%S', e.start_us / 1000000, 'unixepoch') || format('.%06d', e.start_us % 1000000) AS started,
    e.start_us AS started_us,
    strftime('%Y-%m-%d %H:%M:%S', (e.start_us + e.duration_us) / 1000000, 'unixepoch') || format('.%06d', (e.start_us + e.duration_us) % 1000000) AS ended,
    e.start_us + e.duration_us AS ended_us,
    e.duration_us / 1000.0 AS duration_ms,
    strftime('%Y-%m-%d %H:%M:%S', e.due_us / 1000000, 'unixepoch') || format('.%06d', e.due_us % 1000000) AS due,
    e.due_us,
    x.error_type,
    x.error_message,
    e.exit_code,
    CASE WHEN e.flags & 16 THEN 'deadline' WHEN e.flags & 32 THEN 'handler'
        WHEN e.flags & 64 THEN 'queue' END AS timeout_origin,
    (e.flags & 1) <> 0 AS is_di_failure,
    (e.flags & 2) <> 0 AS thread_leaked,
    (e.flags & 4) <> 0 AS overran,
    e.blocked_us / 1000.0 AS blocked_ms,
    e.trigger_id,
    e.trigger_origin,
    e.trigger_mode,
    e.args_json,
    o.id IS NOT NULL AS orphaned,
    lower(format('%s-%s-%s-%s-%s',
        substr(hex(s.session_uuid), 1, 8), substr(hex(s.session_uuid), 9, 4),
        substr(hex(s.session_uuid), 13, 4), substr(hex(s.session_uuid), 17, 4),
        substr(hex(s.session_uuid), 21))) AS session_id
FROM executions e
JOIN sessions s ON s.id = e.session_id
LEFT JOIN topics t ON t.id = e.topic_id
LEFT JOIN listeners l ON l.id = e.listener_id
LEFT JOIN scheduled_jobs j ON j.id = e.job_id
LEFT JOIN execution_orphans o ON o.id = e.id
LEFT JOIN execution_errors x ON x.id = e.id;

-- What was skipped did not go wrong.
CREATE VIEW errors_v AS
SELECT v.id, v.ended, v.ended_us, v.status, v.kind, v.app_key, v.instance, v.name, v.topic, v.execution_id,
       v.error_type, v.error_message, x.error_report
FROM executions_v v
JOIN execution_errors x ON x.id = v.id
WHERE v.status <> 'skipped';

CREATE VIEW sessions_v AS
SELECT
    s.id,
    lower(format('%s-%s-%s-%s-%s',
        substr(hex(s.session_uuid), 1, 8), substr(hex(s.session_uuid), 9, 4),
        substr(hex(s.session_uuid), 13, 4), substr(hex(s.session_uuid), 17, 4),
        substr(hex(s.session_uuid), 21))) AS session_id,
    s.host,
    s.pid,
    s.program,
    s.version,
    s.status,
    strftime('%Y-%m-%d %H:%M:%S', s.started_us / 1000000, 'unixepoch') || format('.%06d', s.started_us % 1000000) AS started,
    s.started_us,
    strftime('%Y-%m-%d %H:%M:%S', s.heartbeat_us / 1000000, 'unixepoch') || format('.%06d', s.heartbeat_us % 1000000) AS heartbeat,
    s.heartbeat_us,
    strftime('%Y-%m-%d %H:%M:%S', s.stopped_us / 1000000, 'unixepoch') || format('.%06d', s.stopped_us % 1000000) AS stopped,
    s.stopped_us,
    (coalesce(s.stopped_us, s.heartbeat_us) - s.started_us) / 1000000.0 AS lasted_s,
    s.error_type,
    s.error_message,
    s.offered,
    s.recovered,
    s.stored,
    s.waiting,
    s.spooled,
    s.filtered,
    s.dropped_overflow + s.dropped_exhausted + s.dropped_constraint
        + s.dropped_unstorable + s.dropped_damaged + s.dropped_shutdown AS dropped,
    s.pruned,
    s.taken_over,
    s.ledger_state,
    s.durability
FROM sessions s;

CREATE VIEW gaps_v AS
SELECT
    g.id,
    s.session_id,
    g.reason,
    g.count,
    strftime('%Y-%m-%d %H:%M:%S', g.first_us / 1000000, 'unixepoch') || format('.%06d', g.first_us % 1000000) AS first,
    g.first_us,
    strftime('%Y-%m-%d %H:%M:%S', g.last_us / 1000000, 'unixepoch') || format('.%06d', g.last_us % 1000000) AS last,
    g.last_us,
    CASE e.kind WHEN 0 THEN 'handler' WHEN 1 THEN 'job' END AS kind,
    e.app_key,
    e.instance,
    e.name,
    nullif(e.topic, '') AS topic,
    e.count AS of_it
FROM gaps g
JOIN sessions_v s ON s.id = g.session_id
LEFT JOIN gap_entities e ON e.gap_id = g.id;

CREATE VIEW listeners_v AS
SELECT
    r.id,
    r.app_key,
    r.instance,
    r.name,
    r.topic,
    r.instance_name,
    r.source_tier,
    r.program,
    r.description,
    r.guard_description,
    r.source_location,
    r.registration_source,
    r.entity,
    r.timeout_us / 1000.0 AS timeout_ms,
    r.overlap,
    r.overlap_limit,
    r.priority,
    r.once,
    r.annotations,
    strftime('%Y-%m-%d %H:%M:%S', r.retired_us / 1000000, 'unixepoch') || format('.%06d', r.retired_us % 1000000) AS retired,
    r.retired_us,
    strftime('%Y-%m-%d %H:%M:%S', r.removed_us / 1000000, 'unixepoch') || format('.%06d', r.removed_us % 1000000) AS removed,
    r.removed_us
FROM listeners r;

CREATE VIEW jobs_v AS
SELECT
    r.id,
    r.app_key,
    r.instance,
    r.name,
    r.trigger_type,
    r.trigger_label,
    r.trigger_detail,
    r.job_group,
    r.handler_name,
    r.arguments_json,
    strftime('%Y-%m-%d %H:%M:%S', r.last_due_us / 1000000, 'unixepoch') || format('.%06d', r.last_due_us % 1000000) AS last_due,
    r.last_due_us,
    strftime('%Y-%m-%d %H:%M:%S', r.next_due_us / 1000000, 'unixepoch') || format('.%06d', r.next_due_us % 1000000) AS next_due,
    r.next_due_us,
    r.instance_name,
    r.source_tier,
    r.program,
    r.description,
    r.guard_description,
    r.source_location,
    r.registration_source,
    r.entity,
    r.timeout_us / 1000.0 AS timeout_ms,
    r.overlap,
    r.overlap_limit,
    r.priority,
    r.once,
    r.annotations,
    strftime('%Y-%m-%d %H:%M:%S', r.retired_us / 1000000, 'unixepoch') || format('.%06d', r.retired_us % 1000000) AS retired,
    r.retired_us,
    strftime('%Y-%m-%d %H:%M:%S', r.removed_us / 1000000, 'unixepoch') || format('.%06d', r.removed_us % 1000000) AS removed,
    r.removed_us
FROM scheduled_jobs r;

CREATE VIEW lines_v AS
SELECT v.id, v.execution_id, v.ended, v.ended_us, v.status, v.kind, v.app_key, v.instance, v.name,
       n.lines, n.total_lines, n.total_bytes, (n.flags & 1) <> 0 AS is_binary, n.body
FROM executions_v v
JOIN execution_lines n ON n.id = v.id;

CREATE VIEW missed_runs_v AS
SELECT
    m.id,
    m.app_key,
    m.instance,
    m.name,
    m.reason,
    m.count,
    strftime('%Y-%m-%d %H:%M:%S', m.first_due_us / 1000000, 'unixepoch') || format('.%06d', m.first_due_us % 1000000) AS first_due,
    m.first_due_us,
    strftime('%Y-%m-%d %H:%M:%S', m.last_due_us / 1000000, 'unixepoch') || format('.%06d', m.last_due_us % 1000000) AS last_due,
    m.last_due_us,
    s.session_id
FROM missed_runs m
LEFT JOIN sessions_v s ON s.id = m.session_id;

CREATE VIEW pauses_v AS
SELECT
    p.id,
    s.session_id,
    p.app_key,
    p.instance,
    p.name,
    strftime('%Y-%m-%d %H:%M:%S', p.from_us / 1000000, 'unixepoch') || format('.%06d', p.from_us % 1000000) AS began,
    p.from_us,
    strftime('%Y-%m-%d %H:%M:%S', p.until_us / 1000000, 'unixepoch') || format('.%06d', p.until_us % 1000000) AS ended,
    p.until_us
FROM pauses p
JOIN sessions_v s ON s.id = p.session_id;

CREATE VIEW prunes_v AS
SELECT
    p.id,
    p.rule,
    p.count,
    strftime('%Y-%m-%d %H:%M:%S', p.first_us / 1000000, 'unixepoch') || format('.%06d', p.first_us % 1000000) AS first_ended,
    p.first_us,
    strftime('%Y-%m-%d %H:%M:%S', p.last_us / 1000000, 'unixepoch') || format('.%06d', p.last_us % 1000000) AS last_ended,
    p.last_us,
    strftime('%Y-%m-%d %H:%M:%S', p.hour_us / 1000000, 'unixepoch') || format('.%06d', p.hour_us % 1000000) AS hour,
    p.hour_us,
    s.session_id
FROM prunes p
LEFT JOIN sessions_v s ON s.id = p.session_id;

CREATE VIEW sources_v AS
SELECT c.id, s.session_id, s.started, c.name, c.lines, c.events, c.bad_lines, c.unheard
FROM sources c
JOIN sessions_v s ON s.id = c.session_id;
