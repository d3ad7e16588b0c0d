//! What is written is read back, and nothing that is read makes the reader panic.

use executor_core::ports::ExecutionEnd;
use proptest::prelude::*;

use super::*;
use crate::spool::encoder::Encoder;

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
}

fn subject() -> impl Strategy<Value = Subject> {
    let row = proptest::option::of((1_i64..).prop_map(RowId::new));
    (any::<bool>(), row, any::<u32>(), text(), text(), text()).prop_map(
        |(is_job, row, instance, app_key, name, topic)| {
            let entity = if is_job {
                Entity::job(app_key, instance, name)
            } else {
                Entity::listener(app_key, instance, name, topic)
            };
            Subject {
                entity: Arc::new(entity),
                row,
            }
        },
    )
}

fn trigger() -> impl Strategy<Value = Trigger> {
    let event = (proptest::option::of(text()), text()).prop_map(|(id, origin)| Trigger::Event {
        id: id.map(Arc::from),
        origin: Arc::from(origin),
    });
    prop_oneof![
        event,
        Just(Trigger::Synthetic),
        Just(Trigger::Job(TriggerMode::Schedule)),
        Just(Trigger::Job(TriggerMode::Manual)),
    ]
}

fn failure() -> impl Strategy<Value = Failure> {
    (text(), text(), proptest::option::of(text())).prop_map(|(error_type, message, report)| {
        Failure {
            error_type,
            message,
            report,
        }
    })
}

fn flags() -> impl Strategy<Value = RecordFlags> {
    let origin = prop_oneof![
        Just(None),
        Just(Some(TimeoutOrigin::Deadline)),
        Just(Some(TimeoutOrigin::Handler)),
        Just(Some(TimeoutOrigin::Queue))
    ];
    let blocked = proptest::option::of(any::<u64>().prop_map(Duration::from_nanos));
    (any::<[bool; 3]>(), origin, blocked).prop_map(
        |([is_di_failure, thread_leaked, overran], timeout_origin, blocked)| RecordFlags {
            is_di_failure,
            thread_leaked,
            overran,
            timeout_origin,
            blocked,
        },
    )
}

fn record() -> impl Strategy<Value = ExecutionRecord> {
    let ids = (any::<[u8; 16]>(), any::<bool>(), 0_i64..7, any::<u8>());
    let numbers = (any::<i64>(), any::<u64>(), any::<u32>(), any::<u32>());
    let failure = proptest::option::of(failure());
    let rest = (
        subject(),
        trigger(),
        flags(),
        failure,
        proptest::option::of(text()),
    );
    (ids, numbers, rest).prop_map(
        |(
            (id, is_app, status, generation),
            (started, nanos, retry_count, attempt_number),
            (subject, trigger, flags, failure, arguments),
        )| ExecutionRecord {
            execution_id: ExecutionId::from_uuid(Uuid::from_bytes(id)),
            subject,
            source_tier: if is_app {
                SourceTier::App
            } else {
                SourceTier::Framework
            },
            status: Status::from_code(status).unwrap(),
            started_at: Timestamp::from_micros(started),
            duration: Duration::from_nanos(nanos),
            failure: failure.map(Arc::new),
            flags,
            trigger,
            generation,
            retry_count,
            attempt_number,
            arguments_json: arguments.map(String::into_boxed_str),
        },
    )
}

proptest! {
    #[test]
    fn a_record_comes_back_and_a_part_of_it_or_more_does_not(record in record(), cut in 0_usize..200) {
        let mut bytes = Encoder::new().record(&(&record).into()).to_vec();
        prop_assert_eq!(read_record(&bytes), Ok(record));
        let shorter = bytes.len().saturating_sub(cut + 1);
        prop_assert!(read_record(&bytes[..shorter]).is_err());
        bytes.push(0);
        prop_assert_eq!(read_record(&bytes), Err(Malformed::Long(1)));
    }

    #[test]
    fn a_start_comes_back(record in record()) {
        let mut encoder = Encoder::new();
        let start = read_start(encoder.start(&ExecutionEnd::from(&record).start)).unwrap();
        prop_assert_eq!(&start.subject, &record.subject);
        let interrupted = start.interrupted();
        prop_assert_eq!(interrupted.execution_id, record.execution_id);
        prop_assert_eq!(interrupted.trigger, record.trigger);
        prop_assert_eq!(interrupted.status, Status::Interrupted);
    }

    #[test]
    fn an_encoder_gives_the_same_bytes_whatever_it_wrote_before(
        records in proptest::collection::vec(record(), 2),
        written in proptest::collection::vec((0_usize..2, any::<bool>(), any::<bool>()), 1..9),
    ) {
        let mut encoder = Encoder::new();
        for (of, is_start, row_is_known) in written {
            let mut record = records[of].clone();
            if row_is_known {
                record.subject.row = Some(RowId::new(7));
            }
            let end = ExecutionEnd::from(&record);
            let mut fresh = Encoder::new();
            if is_start {
                prop_assert_eq!(encoder.start(&end.start), fresh.start(&end.start));
            } else {
                prop_assert_eq!(encoder.record(&end), fresh.record(&end));
            }
        }
    }

    #[test]
    fn whatever_the_bytes_are_nobody_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = (read_record(&bytes), read_start(&bytes), read_session(&bytes), read_end(&bytes));
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        let _ = (read_record(&bytes), read_start(&bytes), read_session(&bytes), read_end(&bytes));
    }
}

#[test]
fn a_newer_version_is_named() {
    assert_eq!(read_record(&[9, 0, 0]), Err(Malformed::Version(9)));
}

#[test]
fn arguments_that_make_a_record_too_long_are_left_out() {
    let mut long = written_by_the_first_version();
    long.arguments_json = Some("x".repeat(record_spool::MAX_PAYLOAD).into());
    let mut encoder = Encoder::new();
    let read = read_record(encoder.record(&(&long).into())).unwrap();
    long.arguments_json = None;
    assert_eq!(read, long);
}

/// With all that a record can have.
fn written_by_the_first_version() -> ExecutionRecord {
    let failure = Failure {
        error_type: "E".into(),
        message: "no".into(),
        report: Some("why".into()),
    };
    ExecutionRecord {
        execution_id: ExecutionId::from_uuid(Uuid::from_bytes([9; 16])),
        subject: Subject {
            entity: Arc::new(Entity::listener("lights", 3, "dim", "#")),
            row: Some(RowId::new(258)),
        },
        source_tier: SourceTier::Framework,
        status: Status::Error,
        started_at: Timestamp::from_micros(1_767_225_600_000_000),
        duration: Duration::from_nanos(1_500),
        failure: Some(Arc::new(failure)),
        flags: RecordFlags {
            is_di_failure: true,
            thread_leaked: true,
            overran: true,
            timeout_origin: Some(TimeoutOrigin::Handler),
            blocked: Some(Duration::from_nanos(2)),
        },
        trigger: Trigger::Event {
            id: Some("e".into()),
            origin: "o".into(),
        },
        generation: 4,
        retry_count: 5,
        attempt_number: 6,
        arguments_json: Some("{}".into()),
    }
}

/// Bytes that were written once are read for good, and written still.
#[test]
fn starts_and_records_of_the_first_version_stay_readable() {
    let record = written_by_the_first_version();
    let (id, started_at) = ([9; 16], 1_767_225_600_000_000_i64.to_le_bytes());
    let common = b"\0\x02\x01\0\0\0\0\0\0\x03\0\0\0\x06\0\0\0lights\x03\0\0\0dim\x01\0\0\0#\
        \x01\x01\0\0\0o\x01\0\0\0e";
    let start = [&[1][..], &id, &[1], &started_at, common].concat();
    let code = Status::Error.code();
    let numbers = b"\xdc\x05\0\0\0\0\0\0\x05\0\0\0\x06\0\0\0";
    let rest = b"\x02\0\0\0\0\0\0\0\x01\0\0\0E\x02\0\0\0no\x01\x03\0\0\0why\x02\0\0\0{}";
    let head = [&[1][..], &id, &[1, code, 0xF7, 4], &started_at, numbers].concat();
    let whole = [&head[..], common, rest].concat();
    let mut encoder = Encoder::new();
    assert_eq!(encoder.start(&ExecutionEnd::from(&record).start), start);
    assert_eq!(encoder.record(&(&record).into()), whole);
    assert_eq!(read_record(&whole), Ok(record.clone()));
    assert_eq!(read_start(&start).unwrap().subject, record.subject);
}

/// Bytes that were written once are read for good.
#[test]
fn the_first_version_stays_readable() {
    let session = Session {
        id: SessionId::from_uuid(Uuid::from_bytes([7; 16])),
        host: "attic".into(),
        pid: 42,
        started_at: Timestamp::from_micros(1_767_225_600_000_000),
    };
    let mut expected = vec![1];
    expected.extend_from_slice(&[7; 16]);
    expected.extend_from_slice(&[42, 0, 0, 0]);
    expected.extend_from_slice(&1_767_225_600_000_000_i64.to_le_bytes());
    expected.extend_from_slice(b"\x05\0\0\0attic");
    assert_eq!(write_session(&session), expected);
    assert_eq!(read_session(&expected), Ok(session));
    let end = SessionEnd {
        at: Timestamp::from_micros(5),
        status: SessionStatus::Failure,
        failure: None,
        ledger: Ledger::default(),
    };
    let written = write_end(&end);
    assert_eq!(written, [1, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(read_end(&written).unwrap().status, SessionStatus::Failure);
}
