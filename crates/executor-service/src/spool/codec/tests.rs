//! What is written is read back, and nothing that is read makes the reader panic.

use executor_core::ports::ExecutionEnd;
use executor_core::{Entity, RowId, TriggerMode};
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::spool::encoder::Encoder;
#[cfg(feature = "process")]
use crate::spool::encoder::write_orphan;

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
    let due = proptest::option::of(any::<i64>().prop_map(Timestamp::from_micros));
    let topic = proptest::option::of(text().prop_map(Arc::from));
    let lines = (any::<[u64; 3]>(), any::<bool>(), text()).prop_map(|(counts, is_binary, body)| {
        let [kept, total, bytes] = counts;
        Arc::new(Lines::from_parts(kept, total, bytes, is_binary, body))
    });
    let exit_code = proptest::option::of(any::<i32>());
    let later = (topic, due, exit_code, proptest::option::of(lines));
    let rest = (
        subject(),
        (trigger(), later),
        flags(),
        failure,
        proptest::option::of(text()),
    );
    (ids, numbers, rest).prop_map(
        |(
            (id, is_app, status, generation),
            (started, nanos, retry_count, attempt_number),
            (subject, (trigger, (topic, due_at, exit_code, lines)), flags, failure, arguments),
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
            topic,
            due_at,
            exit_code,
            lines,
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
    fn a_program_comes_back(id: u128, boot: [u8; 16], group: u32, started: u64, program in text(), cut in 0_usize..80) {
        let id = ExecutionId::from_uuid(Uuid::from_u128(id));
        let group = ProgramGroup { boot, id: group, started, program: program.into() };
        let mut bytes = write_program(id, &group);
        prop_assert_eq!(read_program(&bytes), Ok((id, group)));
        let shorter = bytes.len().saturating_sub(cut + 1);
        prop_assert!(read_program(&bytes[..shorter]).is_err());
        bytes.push(0);
        prop_assert_eq!(read_program(&bytes), Err(Malformed::Long(1)));
    }

    #[cfg(feature = "process")]
    #[test]
    fn an_orphan_comes_back(record in record(), group: u32, program in text(), cut in 0_usize..80) {
        let group = ProgramGroup { boot: [7; 16], id: group, started: 3, program: program.into() };
        let orphan = Orphan::new(record.execution_id, record.subject.entity, group);
        let bytes = write_orphan(&orphan);
        prop_assert_eq!(read_orphan(&bytes), Ok(orphan));
        prop_assert!(read_orphan(&bytes[..bytes.len().saturating_sub(cut + 1)]).is_err());
    }

    #[test]
    fn a_start_comes_back(record in record()) {
        let mut encoder = Encoder::new();
        let start = read_start(encoder.start(&ExecutionEnd::from(&record).start)).unwrap();
        prop_assert_eq!(&start.subject, &record.subject);
        let interrupted = start.interrupted();
        prop_assert_eq!(interrupted.execution_id, record.execution_id);
        prop_assert_eq!(interrupted.trigger, record.trigger);
        prop_assert_eq!((interrupted.topic, interrupted.due_at), (record.topic, record.due_at));
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
    let mut long = full_record();
    long.arguments_json = Some("x".repeat(record_spool::MAX_PAYLOAD).into());
    let mut encoder = Encoder::new();
    let read = read_record(encoder.record(&(&long).into())).unwrap();
    (long.arguments_json, long.lines) = (None, None);
    assert_eq!(read, long);
}

/// With all that a record can have.
fn full_record() -> ExecutionRecord {
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
        topic: Some("motion.hall".into()),
        due_at: Some(Timestamp::from_micros(258)),
        exit_code: Some(-2),
        lines: Some(Arc::new(Lines::from_parts(1, 2, 3, true, "x"))),
        generation: 4,
        retry_count: 5,
        attempt_number: 6,
        arguments_json: Some("{}".into()),
    }
}

/// What a record and its start have in common: subject and trigger.
const COMMON: &[u8] = b"\0\x02\x01\0\0\0\0\0\0\x03\0\0\0\x06\0\0\0lights\x03\0\0\0dim\x01\0\0\0#\
    \x01\x01\0\0\0o\x01\0\0\0e";

/// Bytes that were written once are read for good.
#[test]
fn e07_starts_and_records_of_the_first_version_stay_readable() {
    let record = ExecutionRecord {
        topic: None,
        due_at: None,
        exit_code: None,
        lines: None,
        ..full_record()
    };
    let (id, started_at) = ([9; 16], 1_767_225_600_000_000_i64.to_le_bytes());
    let start = [&[1][..], &id, &[1], &started_at, COMMON].concat();
    let code = Status::Error.code();
    let numbers = b"\xdc\x05\0\0\0\0\0\0\x05\0\0\0\x06\0\0\0";
    let rest = b"\x02\0\0\0\0\0\0\0\x01\0\0\0E\x02\0\0\0no\x01\x03\0\0\0why\x02\0\0\0{}";
    let head = [&[1][..], &id, &[1, code, 0xF7, 4], &started_at, numbers].concat();
    let whole = [&head[..], COMMON, rest].concat();
    assert_eq!(read_record(&whole), Ok(record.clone()));
    assert_eq!(read_start(&start).unwrap().subject, record.subject);
}

/// Bytes that were written once are read for good, and written still.
#[test]
fn e07_starts_and_records_of_the_second_version_stay_readable() {
    let record = full_record();
    let (id, started_at) = ([9; 16], 1_767_225_600_000_000_i64.to_le_bytes());
    let own = b"\x01\x0b\0\0\0motion.hall\x01\x02\x01\0\0\0\0\0\0";
    let start = [&[2][..], &id, &[1], &started_at, COMMON, own].concat();
    let code = Status::Error.code();
    let numbers = b"\xdc\x05\0\0\0\0\0\0\x05\0\0\0\x06\0\0\0";
    let rest = b"\x02\0\0\0\0\0\0\0\xfe\xff\xff\xff\x01\0\0\0E\x02\0\0\0no\x01\x03\0\0\0why\
        \x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01\x01\0\0\0x\x02\0\0\0{}";
    let head = [&[2][..], &id, &[1, code, 0xF7, 3, 4], &started_at, numbers].concat();
    let whole = [&head[..], COMMON, own, rest].concat();
    let mut encoder = Encoder::new();
    assert_eq!(encoder.start(&ExecutionEnd::from(&record).start), start);
    assert_eq!(encoder.record(&(&record).into()), whole);
    assert_eq!(read_record(&whole), Ok(record.clone()));
    assert_eq!(read_start(&start).unwrap().due_at, record.due_at);
}

#[test]
fn e07_sessions_of_each_version_stay_readable() {
    let started_at = Timestamp::from_micros(1_767_225_600_000_000);
    let id = SessionId::from_uuid(Uuid::from_bytes([7; 16]));
    let session = Session {
        pid: 42,
        ..Session::new(id, "attic", started_at)
    };
    let mut first = vec![1];
    first.extend_from_slice(&[7; 16]);
    first.extend_from_slice(&[42, 0, 0, 0]);
    first.extend_from_slice(&started_at.as_micros().to_le_bytes());
    first.extend_from_slice(b"\x05\0\0\0attic");
    assert_eq!(read_session(&first), Ok(session.clone()));
    let later = Session {
        program: Some("house".into()),
        config_hash: Some("9f".into()),
        ..session
    };
    let mut second = first;
    second[0] = 2;
    second.extend_from_slice(b"\x01\x05\0\0\0house\0\0\0\0\0\x01\x02\0\0\x009f");
    assert_eq!(write_session(&later), second);
    assert_eq!(read_session(&second), Ok(later));
}

#[test]
fn e07_ends_of_each_version_stay_readable() {
    let end = SessionEnd {
        at: Timestamp::from_micros(5),
        status: SessionStatus::Failure,
        failure: None,
        ledger: Ledger::default(),
    };
    let mut written = write_end(&end);
    assert_eq!(written, [2, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
    for version in [1, 2] {
        written[0] = version;
        assert_eq!(read_end(&written).unwrap().status, SessionStatus::Failure);
    }
}
