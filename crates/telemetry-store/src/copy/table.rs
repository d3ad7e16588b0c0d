//! What the tables of a history have in common on every backend, but for executions and rollups: which columns, in
//! which order, and how each backend spells what it keeps in another way. A row of such a table is a list of values
//! that are the same wherever they were read.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColumnType {
    Number,
    Text,
    Uuid,
    Flag,
}

use ColumnType::{Flag, Number, Text, Uuid};

/// How one backend keeps a table.
#[derive(Debug)]
pub(crate) struct Layout {
    /// What stands after `FROM`, with the table as `t` and what a row belongs to as `p`.
    pub(crate) from: &'static str,
    /// The columns that are read from `p`, and not written.
    pub(crate) of_parent: &'static [&'static str],
    /// Columns that are written and not read, with what is written; `{name}` stands for the value of a column.
    pub(crate) also: &'static [(&'static str, &'static str)],
}

/// A table of a history.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static [(&'static str, ColumnType)],
    /// Kind and topic of the listener or job that a row is about, which PostgreSQL keeps in a table of its own.
    pub(crate) about: Option<[&'static str; 2]>,
    pub(crate) sqlite: Layout,
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "it has no tables there")
    )]
    pub(crate) postgres: Layout,
}

impl Table {
    /// The place of a column in a row.
    pub(crate) fn place_of(&self, column: &str) -> Option<usize> {
        self.columns.iter().position(|(name, _)| *name == column)
    }
}

const fn plain(from: &'static str) -> Layout {
    Layout {
        from,
        of_parent: &[],
        also: &[],
    }
}

const ENTITY: [&str; 4] = ["app_key", "instance", "name", "topic"];
const JOB: [&str; 3] = ["app_key", "instance", "name"];
const OF_A_JOB: Option<[&str; 2]> = Some(["1", "''"]);

/// All of them, each behind those that it refers to.
pub(crate) const TABLES: [Table; 15] = [
    Table {
        name: "sessions",
        columns: &[
            ("id", Number),
            ("session_uuid", Uuid),
            ("host", Text),
            ("pid", Number),
            ("program", Text),
            ("version", Text),
            ("config_hash", Text),
            ("started_us", Number),
            ("heartbeat_us", Number),
            ("stopped_us", Number),
            ("trusted_us", Number),
            ("status", Text),
            ("error_type", Text),
            ("error_message", Text),
            ("error_report", Text),
            ("offered", Number),
            ("recovered", Number),
            ("stored", Number),
            ("waiting", Number),
            ("spooled", Number),
            ("filtered", Number),
            ("dropped_overflow", Number),
            ("dropped_exhausted", Number),
            ("dropped_constraint", Number),
            ("dropped_unstorable", Number),
            ("dropped_damaged", Number),
            ("dropped_shutdown", Number),
            ("durability", Text),
            ("is_counted", Flag),
            ("pruned", Number),
            ("taken_over", Number),
            ("ledger_state", Text),
        ],
        about: None,
        sqlite: plain("sessions t"),
        // When the server last heard of it is not known on a file.
        postgres: Layout {
            from: "executor.sessions t",
            of_parent: &[],
            also: &[(
                "seen_us",
                "least({heartbeat_us}, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)",
            )],
        },
    },
    Table {
        name: "listeners",
        columns: &[
            ("app_key", Text),
            ("instance", Number),
            ("name", Text),
            ("topic", Text),
            ("instance_name", Text),
            ("source_tier", Text),
            ("timeout_us", Number),
            ("description", Text),
            ("guard_description", Text),
            ("source_location", Text),
            ("registration_source", Text),
            ("entity", Text),
            ("overlap", Text),
            ("overlap_limit", Number),
            ("priority", Number),
            ("once", Flag),
            ("program", Text),
            ("annotations", Text),
            ("retired_us", Number),
            ("removed_us", Number),
        ],
        about: Some(["0", "{topic}"]),
        // The id of one that is there already, because executions have it.
        sqlite: Layout {
            from: "listeners t",
            of_parent: &[],
            also: &[(
                "id",
                "(SELECT o.id FROM listeners o WHERE (o.app_key, o.instance, o.name, o.topic) \
                 = ({app_key}, {instance}, {name}, {topic}))",
            )],
        },
        postgres: Layout {
            from: "executor.listeners t JOIN executor.entities p ON p.id = t.id",
            of_parent: &ENTITY,
            also: &[("id", "{about}")],
        },
    },
    Table {
        name: "scheduled_jobs",
        columns: &[
            ("app_key", Text),
            ("instance", Number),
            ("name", Text),
            ("handler_name", Text),
            ("trigger_type", Text),
            ("trigger_label", Text),
            ("trigger_detail", Text),
            ("job_group", Text),
            ("arguments_json", Text),
            ("last_due_us", Number),
            ("next_due_us", Number),
            ("instance_name", Text),
            ("source_tier", Text),
            ("timeout_us", Number),
            ("description", Text),
            ("guard_description", Text),
            ("source_location", Text),
            ("registration_source", Text),
            ("entity", Text),
            ("overlap", Text),
            ("overlap_limit", Number),
            ("priority", Number),
            ("once", Flag),
            ("program", Text),
            ("annotations", Text),
            ("retired_us", Number),
            ("removed_us", Number),
        ],
        about: OF_A_JOB,
        sqlite: Layout {
            from: "scheduled_jobs t",
            of_parent: &[],
            also: &[(
                "id",
                "(SELECT o.id FROM scheduled_jobs o WHERE (o.app_key, o.instance, o.name) \
                 = ({app_key}, {instance}, {name}))",
            )],
        },
        postgres: Layout {
            from: "executor.scheduled_jobs t JOIN executor.entities p ON p.id = t.id",
            of_parent: &JOB,
            also: &[("id", "{about}")],
        },
    },
    Table {
        name: "schedules",
        columns: &[
            ("app_key", Text),
            ("instance", Number),
            ("name", Text),
            ("from_us", Number),
            ("until_us", Number),
            ("text", Text),
            ("zone", Text),
            ("jitter_us", Number),
            ("missed", Text),
            ("persistent", Flag),
        ],
        about: OF_A_JOB,
        sqlite: Layout {
            from: "schedules t JOIN scheduled_jobs p ON p.id = t.job_id",
            of_parent: &JOB,
            also: &[(
                "job_id",
                "(SELECT o.id FROM scheduled_jobs o WHERE (o.app_key, o.instance, o.name) \
                 = ({app_key}, {instance}, {name}))",
            )],
        },
        postgres: Layout {
            from: "executor.schedules t JOIN executor.entities p ON p.id = t.job_id",
            of_parent: &JOB,
            also: &[("job_id", "{about}")],
        },
    },
    // Those whose registration has been deleted say nothing any more.
    Table {
        name: "session_registrations",
        columns: &[
            ("session_id", Number),
            ("kind", Number),
            ("app_key", Text),
            ("instance", Number),
            ("name", Text),
            ("topic", Text),
            ("from_us", Number),
            ("until_us", Number),
        ],
        about: Some(["{kind}", "{topic}"]),
        sqlite: Layout {
            from: "session_registrations t JOIN \
                   (SELECT 0 AS kind, id, app_key, instance, name, topic FROM listeners \
                    UNION ALL SELECT 1, id, app_key, instance, name, '' FROM scheduled_jobs) p \
                   ON p.kind = t.kind AND p.id = t.registration",
            of_parent: &ENTITY,
            also: &[(
                "registration",
                "CASE {kind} WHEN 0 THEN \
                   (SELECT o.id FROM listeners o WHERE (o.app_key, o.instance, o.name, o.topic) \
                    = ({app_key}, {instance}, {name}, {topic})) \
                 ELSE (SELECT o.id FROM scheduled_jobs o WHERE (o.app_key, o.instance, o.name) \
                    = ({app_key}, {instance}, {name})) END",
            )],
        },
        postgres: Layout {
            from: "executor.session_registrations t \
                   JOIN executor.entities p ON p.id = t.registration AND p.kind = t.kind \
                   AND (EXISTS (SELECT FROM executor.listeners l WHERE l.id = p.id) \
                     OR EXISTS (SELECT FROM executor.scheduled_jobs j WHERE j.id = p.id))",
            of_parent: &ENTITY,
            also: &[("registration", "{about}")],
        },
    },
    Table {
        name: "gaps",
        columns: &[
            ("session_id", Number),
            ("reason", Text),
            ("count", Number),
            ("first_us", Number),
            ("last_us", Number),
        ],
        about: None,
        sqlite: plain("gaps t"),
        postgres: plain("executor.gaps t"),
    },
    Table {
        name: "gap_entities",
        columns: &[
            ("session_id", Number),
            ("reason", Text),
            ("first_us", Number),
            ("kind", Number),
            ("app_key", Text),
            ("instance", Number),
            ("name", Text),
            ("topic", Text),
            ("count", Number),
        ],
        about: Some(["{kind}", "{topic}"]),
        sqlite: Layout {
            from: "gap_entities t JOIN gaps p ON p.id = t.gap_id",
            of_parent: &["session_id", "reason", "first_us"],
            also: &[(
                "gap_id",
                "(SELECT o.id FROM gaps o WHERE (o.session_id, o.reason, o.first_us) \
                 = ({session_id}, {reason}, {first_us}))",
            )],
        },
        postgres: Layout {
            from: "executor.gap_entities t JOIN (SELECT g.session_id, g.reason, g.first_us, n.kind, n.app_key, \
                   n.instance, n.name, n.topic, e.gap_id, e.entity_id FROM executor.gap_entities e \
                   JOIN executor.gaps g ON g.id = e.gap_id JOIN executor.entities n ON n.id = e.entity_id) p \
                   ON p.gap_id = t.gap_id AND p.entity_id = t.entity_id",
            of_parent: &[
                "session_id",
                "reason",
                "first_us",
                "kind",
                "app_key",
                "instance",
                "name",
                "topic",
            ],
            also: &[
                (
                    "gap_id",
                    "(SELECT o.id FROM executor.gaps o WHERE (o.session_id, o.reason, o.first_us) \
                     = ({session_id}, {reason}, {first_us}))",
                ),
                ("entity_id", "{about}"),
            ],
        },
    },
    Table {
        name: "session_hours",
        columns: &[
            ("session_id", Number),
            ("hour_us", Number),
            ("stored", Number),
            ("pruned", Number),
        ],
        about: None,
        sqlite: plain("session_hours t"),
        postgres: plain("executor.session_hours t"),
    },
    Table {
        name: "missed_runs",
        columns: &[
            ("app_key", Text),
            ("instance", Number),
            ("name", Text),
            ("reason", Text),
            ("count", Number),
            ("first_due_us", Number),
            ("last_due_us", Number),
            ("session_id", Number),
        ],
        about: OF_A_JOB,
        sqlite: plain("missed_runs t"),
        postgres: Layout {
            from: "executor.missed_runs t JOIN executor.entities p ON p.id = t.entity_id",
            of_parent: &JOB,
            also: &[("entity_id", "{about}")],
        },
    },
    // A pause of all schedules names none.
    Table {
        name: "pauses",
        columns: &[
            ("session_id", Number),
            ("app_key", Text),
            ("instance", Number),
            ("name", Text),
            ("from_us", Number),
            ("until_us", Number),
        ],
        about: OF_A_JOB,
        sqlite: plain("pauses t"),
        postgres: Layout {
            from: "executor.pauses t LEFT JOIN executor.entities p ON p.id = t.entity_id",
            of_parent: &JOB,
            also: &[("entity_id", "{about}")],
        },
    },
    Table {
        name: "prunes",
        columns: &[
            ("session_id", Number),
            ("rule", Text),
            ("hour_us", Number),
            ("count", Number),
            ("first_us", Number),
            ("last_us", Number),
        ],
        about: None,
        sqlite: plain("prunes t"),
        postgres: plain("executor.prunes t"),
    },
    Table {
        name: "sources",
        columns: &[
            ("session_id", Number),
            ("name", Text),
            ("lines", Number),
            ("events", Number),
            ("bad_lines", Number),
            ("unheard", Number),
        ],
        about: None,
        sqlite: plain("sources t"),
        postgres: plain("executor.sources t"),
    },
    Table {
        name: "source_topics",
        columns: &[
            ("session_id", Number),
            ("name", Text),
            ("hour_us", Number),
            ("topic", Text),
            ("count", Number),
        ],
        about: None,
        sqlite: Layout {
            from: "source_topics t JOIN sources p ON p.id = t.source_id",
            of_parent: &["session_id", "name"],
            also: &[(
                "source_id",
                "(SELECT o.id FROM sources o WHERE (o.session_id, o.name) = ({session_id}, {name}))",
            )],
        },
        postgres: Layout {
            from: "executor.source_topics t JOIN executor.sources p ON p.id = t.source_id",
            of_parent: &["session_id", "name"],
            also: &[(
                "source_id",
                "(SELECT o.id FROM executor.sources o WHERE (o.session_id, o.name) = ({session_id}, {name}))",
            )],
        },
    },
    Table {
        name: "source_bad_lines",
        columns: &[
            ("session_id", Number),
            ("name", Text),
            ("line", Number),
            ("at_us", Number),
            ("problem", Text),
            ("text", Text),
        ],
        about: None,
        sqlite: Layout {
            from: "source_bad_lines t JOIN sources p ON p.id = t.source_id",
            of_parent: &["session_id", "name"],
            also: &[(
                "source_id",
                "(SELECT o.id FROM sources o WHERE (o.session_id, o.name) = ({session_id}, {name}))",
            )],
        },
        postgres: Layout {
            from: "executor.source_bad_lines t JOIN executor.sources p ON p.id = t.source_id",
            of_parent: &["session_id", "name"],
            also: &[(
                "source_id",
                "(SELECT o.id FROM executor.sources o WHERE (o.session_id, o.name) = ({session_id}, {name}))",
            )],
        },
    },
    Table {
        name: "actions",
        columns: &[
            ("session_id", Number),
            ("at_us", Number),
            ("who", Text),
            ("origin", Text),
            ("action", Text),
            ("target", Text),
            ("outcome", Text),
        ],
        about: None,
        sqlite: plain("actions t"),
        postgres: plain("executor.actions t"),
    },
];
