DROP VIEW errors_v;
CREATE VIEW errors_v AS
SELECT v.ended, v.status, v.kind, v.app_key, v.instance, v.name, v.topic, v.execution_id,
       v.error_type, v.error_message, x.error_report
FROM executions_v v
JOIN execution_errors x ON x.id = v.id;
DROP INDEX execution_orphans_by_app;
DROP TABLE rollup_progress;
DROP TABLE rollups;
DROP TABLE rollup_entities;
