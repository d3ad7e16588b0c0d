DROP VIEW sources_v;
DROP VIEW prunes_v;
DROP VIEW pauses_v;
DROP VIEW missed_runs_v;
DROP VIEW lines_v;
DROP VIEW jobs_v;
DROP VIEW listeners_v;
DROP VIEW gaps_v;
DROP VIEW errors_v;
DROP VIEW sessions_v;
DROP VIEW executions_v;

ALTER TABLE listeners ADD COLUMN immediate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE listeners ADD COLUMN debounce_us INTEGER;
ALTER TABLE listeners ADD COLUMN throttle_us INTEGER;
ALTER TABLE listeners ADD COLUMN hold_us INTEGER;
UPDATE listeners SET
    immediate = json_type(annotations, '$.immediate') IS 'true',
    debounce_us = CASE json_type(annotations, '$.debounce_us') WHEN 'integer' THEN annotations ->> 'debounce_us' END,
    throttle_us = CASE json_type(annotations, '$.throttle_us') WHEN 'integer' THEN annotations ->> 'throttle_us' END,
    hold_us = CASE json_type(annotations, '$.hold_us') WHEN 'integer' THEN annotations ->> 'hold_us' END
WHERE json_valid(annotations);
ALTER TABLE listeners DROP COLUMN annotations;
ALTER TABLE listeners DROP COLUMN program;
ALTER TABLE scheduled_jobs ADD COLUMN immediate INTEGER NOT NULL DEFAULT 0;
ALTER TABLE scheduled_jobs ADD COLUMN debounce_us INTEGER;
ALTER TABLE scheduled_jobs ADD COLUMN throttle_us INTEGER;
ALTER TABLE scheduled_jobs ADD COLUMN hold_us INTEGER;
UPDATE scheduled_jobs SET
    immediate = json_type(annotations, '$.immediate') IS 'true',
    debounce_us = CASE json_type(annotations, '$.debounce_us') WHEN 'integer' THEN annotations ->> 'debounce_us' END,
    throttle_us = CASE json_type(annotations, '$.throttle_us') WHEN 'integer' THEN annotations ->> 'throttle_us' END,
    hold_us = CASE json_type(annotations, '$.hold_us') WHEN 'integer' THEN annotations ->> 'hold_us' END
WHERE json_valid(annotations);
ALTER TABLE scheduled_jobs DROP COLUMN annotations;
ALTER TABLE scheduled_jobs DROP COLUMN program;
ALTER TABLE scheduled_jobs DROP COLUMN last_due_us;
ALTER TABLE scheduled_jobs DROP COLUMN next_due_us;

DROP TABLE session_registrations;
DROP TABLE schedules;
DROP TABLE actions;
DROP TABLE source_bad_lines;
DROP TABLE source_topics;
DROP TABLE sources;
DROP TABLE prunes;
DROP TABLE pauses;
DROP TABLE missed_runs;
DROP TABLE execution_lines;

DROP INDEX executions_of_a_minute;
DROP INDEX executions_by_topic;
ALTER TABLE executions DROP COLUMN topic_id;
ALTER TABLE executions DROP COLUMN due_us;
ALTER TABLE executions DROP COLUMN exit_code;
DROP TABLE topics;

DROP TABLE session_hours;
ALTER TABLE sessions DROP COLUMN is_counted;
ALTER TABLE sessions DROP COLUMN pruned;
ALTER TABLE sessions DROP COLUMN taken_over;
ALTER TABLE sessions DROP COLUMN ledger_state;
ALTER TABLE sessions DROP COLUMN trusted_us;
ALTER TABLE sessions DROP COLUMN program;
ALTER TABLE sessions DROP COLUMN version;
ALTER TABLE sessions DROP COLUMN config_hash;
DROP TABLE history;

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
    coalesce(l.topic, o.topic) AS topic,
    strftime('%Y-%m-%dT%H:%M:%S', e.start_us / 1000000, 'unixepoch')
        || format('.%06dZ', e.start_us % 1000000) AS started,
    strftime('%Y-%m-%dT%H:%M:%S', (e.start_us + e.duration_us) / 1000000, 'unixepoch')
        || format('.%06dZ', (e.start_us + e.duration_us) % 1000000) AS ended,
    e.duration_us / 1000.0 AS duration_ms,
    x.error_type,
    x.error_message,
    CASE WHEN e.flags & 16 THEN 'deadline' WHEN e.flags & 32 THEN 'handler' END AS timeout_origin,
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
LEFT JOIN listeners l ON l.id = e.listener_id
LEFT JOIN scheduled_jobs j ON j.id = e.job_id
LEFT JOIN execution_orphans o ON o.id = e.id
LEFT JOIN execution_errors x ON x.id = e.id;

CREATE VIEW errors_v AS
SELECT v.ended, v.status, v.kind, v.app_key, v.instance, v.name, v.topic, v.execution_id,
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
    s.status,
    strftime('%Y-%m-%dT%H:%M:%S', s.started_us / 1000000, 'unixepoch')
        || format('.%06dZ', s.started_us % 1000000) AS started,
    strftime('%Y-%m-%dT%H:%M:%S', s.heartbeat_us / 1000000, 'unixepoch')
        || format('.%06dZ', s.heartbeat_us % 1000000) AS heartbeat,
    strftime('%Y-%m-%dT%H:%M:%S', s.stopped_us / 1000000, 'unixepoch')
        || format('.%06dZ', s.stopped_us % 1000000) AS stopped,
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
    s.durability
FROM sessions s;

CREATE VIEW gaps_v AS
SELECT
    g.id,
    s.session_id,
    g.reason,
    g.count,
    strftime('%Y-%m-%dT%H:%M:%S', g.first_us / 1000000, 'unixepoch')
        || format('.%06dZ', g.first_us % 1000000) AS first,
    strftime('%Y-%m-%dT%H:%M:%S', g.last_us / 1000000, 'unixepoch')
        || format('.%06dZ', g.last_us % 1000000) AS last,
    CASE e.kind WHEN 0 THEN 'handler' WHEN 1 THEN 'job' END AS kind,
    e.app_key,
    e.instance,
    e.name,
    nullif(e.topic, '') AS topic,
    e.count AS of_it
FROM gaps g
JOIN sessions_v s ON s.id = g.session_id
LEFT JOIN gap_entities e ON e.gap_id = g.id;
