//! Classifies diesel's errors; no other file reads them. diesel reports all busy, full, I/O and
//! corruption errors of SQLite as "unknown", so this file tells them apart by SQLite's own messages,
//! which have been stable for decades.

use diesel::result::{DatabaseErrorKind, Error as DieselError};
use executor_core::{ErrorClass, StoreError, StoreFault};

/// Prefixes of SQLite's messages for transient conditions.
const TRANSIENT: &[&str] = &[
    "database is locked",
    "database table is locked",
    "database schema is locked",
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "locking protocol",
    "attempt to write a readonly database",
    "out of memory",
    "interrupted",
    // A damaged file is not the fault of the rows to be written: they wait for its repair.
    "database disk image is malformed",
    "file is not a database",
    "malformed database schema",
    "unsupported file format",
];

/// Messages that mean that the file is damaged.
const DAMAGED: &[&str] = &[
    "database disk image is malformed",
    "file is not a database",
    "malformed database schema",
    "unsupported file format",
];

/// Messages that mean that there is no space.
const NO_SPACE: &[&str] = &["database or disk is full"];

/// Transient messages that mean that no store was there to answer.
const ABSENT: &[&str] = &[
    "disk I/O error",
    "unable to open database file",
    "out of memory",
    "database disk image is malformed",
    "file is not a database",
    "malformed database schema",
    "unsupported file format",
];

/// Classifies an error and adds the operation that failed.
pub(crate) fn store_error(operation: &'static str, error: DieselError) -> StoreError {
    let fault = match (is_full(&error), is_damage(&error)) {
        (true, _) => StoreFault::NoSpace,
        (false, true) => StoreFault::Damaged,
        (false, false) => StoreFault::Other,
    };
    StoreError {
        class: class_of(&error),
        answered: !is_absence(&error),
        fault,
        operation,
        source: error.into(),
    }
}

/// Whether the error says that the file is damaged.
pub(crate) fn is_damage(error: &DieselError) -> bool {
    says(DAMAGED, error)
}

/// Whether the error says that there is no space.
pub(crate) fn is_full(error: &DieselError) -> bool {
    says(NO_SPACE, error)
}

/// Whether the error says that no store was there to answer.
pub(crate) fn is_absence(error: &DieselError) -> bool {
    says(ABSENT, error)
}

/// Whether the error says only that somebody else holds a lock.
pub(crate) fn is_lock(error: &DieselError) -> bool {
    const LOCKS: &[&str] = &[
        "database is locked",
        "database table is locked",
        "database schema is locked",
    ];
    says(LOCKS, error)
}

/// The class of an error, by the table of the contract's clause C4.
pub(crate) fn class_of(error: &DieselError) -> ErrorClass {
    match error {
        DieselError::DatabaseError(kind, info) => class_of_database_error(kind, info.message()),
        // The rollback failed too: the connection's state is unknown, the batch's is not.
        DieselError::RollbackErrorOnCommit { commit_error, .. } => class_of(commit_error),
        DieselError::BrokenTransactionManager => ErrorClass::Transient,
        // The row to change does not exist.
        DieselError::NotFound => ErrorClass::Dangling,
        _ => ErrorClass::Unstorable,
    }
}

fn class_of_database_error(kind: &DatabaseErrorKind, message: &str) -> ErrorClass {
    match kind {
        DatabaseErrorKind::ForeignKeyViolation => ErrorClass::Dangling,
        DatabaseErrorKind::UniqueViolation
        | DatabaseErrorKind::CheckViolation
        | DatabaseErrorKind::NotNullViolation
        | DatabaseErrorKind::ExclusionViolation
        | DatabaseErrorKind::RestrictViolation => ErrorClass::Constraint,
        DatabaseErrorKind::ClosedConnection
        | DatabaseErrorKind::SerializationFailure
        | DatabaseErrorKind::ReadOnlyTransaction => ErrorClass::Transient,
        _ if starts(TRANSIENT, message) => ErrorClass::Transient,
        // STRICT tables report a value of the wrong type under its own code.
        _ if message.starts_with("cannot store ") => ErrorClass::Constraint,
        _ => ErrorClass::Unstorable,
    }
}

fn says(with: &[&str], error: &DieselError) -> bool {
    matches!(error, DieselError::DatabaseError(_, info) if starts(with, info.message()))
}

fn starts(with: &[&str], message: &str) -> bool {
    with.iter().any(|start| message.starts_with(start))
}
