DROP VIEW errors_v;
DROP VIEW executions_v;
