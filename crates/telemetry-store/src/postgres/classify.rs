//! Classifies diesel's errors of PostgreSQL; no other file reads them. diesel keeps the SQLSTATE to itself, so what it
//! calls unknown is told apart by the message: libpq's own are English, the server's follow its `lc_messages`.

use diesel::result::{DatabaseErrorKind as Kind, Error as DieselError};
use executor_core::{ErrorClass, StoreError, StoreFault};

/// Beginnings of messages that mean that the connection is gone.
const GONE: &[&str] = &[
    "server closed the connection",
    "terminating connection",
    "could not receive data",
    "could not send data",
    "no connection to the server",
    "connection to server",
    "SSL ",
    "the database system is",
];

/// Beginnings of messages of what passes by itself.
const TRANSIENT: &[&str] = &[
    "deadlock detected",
    "canceling statement due to",
    "could not extend file",
    "could not write",
    "out of memory",
    "out of shared memory",
    "sorry, too many clients",
    "remaining connection slots",
    "permission denied",
    "current transaction is aborted",
];

/// Beginnings of messages that mean damage.
const DAMAGED: &[&str] = &["could not read block", "invalid page in block"];

/// Classifies an error and adds the operation that failed.
pub(crate) fn store_error(operation: &'static str, error: DieselError) -> StoreError {
    let fault = match () {
        () if says(&error, |message| message.contains("No space left")) => StoreFault::NoSpace,
        () if starts(DAMAGED, &error) => StoreFault::Damaged,
        () => StoreFault::Other,
    };
    StoreError {
        class: class_of(&error),
        answered: !is_gone(&error),
        fault,
        operation,
        source: match error.to_string() {
            // libpq's have several lines.
            text if text.contains('\n') => text.replace('\n', " ").trim().into(),
            _ => error.into(),
        },
    }
}

/// Whether the connection is gone, or in an unknown state.
pub(crate) fn is_gone(error: &DieselError) -> bool {
    let kind = match error {
        DieselError::DatabaseError(kind, _) => kind,
        DieselError::BrokenTransactionManager => return true,
        // What the connection did not say in its protocol.
        DieselError::DeserializationError(source) => return source.is::<std::io::Error>(),
        _ => return false,
    };
    let is_closed = matches!(
        kind,
        Kind::ClosedConnection | Kind::UnableToSendCommand | Kind::ReadOnlyTransaction
    );
    is_closed || starts(GONE, error)
}

/// The class of an error, by the table of the contract's clause C4.
pub(crate) fn class_of(error: &DieselError) -> ErrorClass {
    if is_gone(error) || starts(TRANSIENT, error) || starts(DAMAGED, error) {
        return ErrorClass::Transient;
    }
    match error {
        DieselError::DatabaseError(Kind::ForeignKeyViolation, _) | DieselError::NotFound => {
            ErrorClass::Dangling
        }
        DieselError::DatabaseError(Kind::SerializationFailure, _) => ErrorClass::Transient,
        // A partition that was made meanwhile, of which no constraint has a name.
        DieselError::DatabaseError(Kind::CheckViolation, info)
            if info.constraint_name().is_none() =>
        {
            ErrorClass::Transient
        }
        // It may be anything. What looks at single rows finds out by experiment.
        DieselError::DatabaseError(Kind::Unknown, _) => ErrorClass::Transient,
        DieselError::DatabaseError(
            Kind::UniqueViolation
            | Kind::CheckViolation
            | Kind::NotNullViolation
            | Kind::ExclusionViolation
            | Kind::RestrictViolation,
            _,
        ) => ErrorClass::Constraint,
        _ => ErrorClass::Unstorable,
    }
}

/// Whether the server cannot read what it has stored.
pub(crate) fn is_damage(error: &DieselError) -> bool {
    starts(DAMAGED, error)
}

/// Whether somebody else holds a lock on what was asked for.
pub(crate) fn is_locked(error: &DieselError) -> bool {
    starts(&["canceling statement due to lock timeout"], error)
}

/// Whether a statement took too long.
pub(crate) fn is_timeout(error: &DieselError) -> bool {
    starts(&["canceling statement due to statement timeout"], error)
}

/// Whether the error may be the fault of a row, which only an experiment can tell.
pub(crate) fn may_be_of_a_row(error: &DieselError) -> bool {
    let passes = is_gone(error) || starts(TRANSIENT, error) || starts(DAMAGED, error);
    let is_unknown = matches!(error, DieselError::DatabaseError(Kind::Unknown, _));
    !passes && (is_unknown || class_of(error) != ErrorClass::Transient)
}

fn starts(with: &[&str], error: &DieselError) -> bool {
    says(error, |message| {
        with.iter().any(|start| message.starts_with(start))
    })
}

fn says(error: &DieselError, what: impl Fn(&str) -> bool) -> bool {
    matches!(error, DieselError::DatabaseError(_, info) if what(info.message()))
}
