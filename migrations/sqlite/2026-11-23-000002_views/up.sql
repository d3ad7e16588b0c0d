-- The history for people: readable ids, words and ISO times.

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
JOIN execution_errors x ON x.id = v.id;
