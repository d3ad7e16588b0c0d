-- What the records of a session survived while they waited; null where they waited in memory, and where it is
-- not known: before its first heartbeat, and of sessions that are older than this column.
ALTER TABLE sessions ADD COLUMN durability TEXT CHECK (durability IN ('process', 'power'));

DROP VIEW sessions_v;

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
