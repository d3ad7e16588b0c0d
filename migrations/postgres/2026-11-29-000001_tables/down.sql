-- Removes everything that up.sql made, with the days. The schema and its table of migrations stay.
DROP VIEW executor.sources_v, executor.prunes_v, executor.pauses_v, executor.missed_runs_v, executor.lines_v,
    executor.jobs_v, executor.listeners_v, executor.gaps_v, executor.sessions_v, executor.errors_v, executor.executions_v;
-- A partitioned table takes its days along.
DROP TABLE executor.execution_lines, executor.executions;
DROP TABLE executor.leases, executor.session_registrations, executor.schedules, executor.actions,
    executor.source_bad_lines, executor.source_topics, executor.sources, executor.prunes, executor.pauses,
    executor.missed_runs, executor.gap_entities, executor.gaps, executor.rollups, executor.session_hours,
    executor.scheduled_jobs, executor.listeners, executor.entities, executor.sessions, executor.history;
DROP FUNCTION executor.entity_digest(smallint, text, bigint, text, text), executor.digest_of(text), executor.time_of(bigint);
