-- The one view reads the other.
DROP VIEW gaps_v;
DROP VIEW sessions_v;

ALTER TABLE sessions DROP COLUMN durability;

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
        + s.dropped_unstorable + s.dropped_damaged + s.dropped_shutdown AS dropped
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
