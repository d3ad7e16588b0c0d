//! What is written is read back, and nothing that is read makes the reader panic.

use proptest::prelude::*;

use super::*;

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(any::<char>(), 0..40).prop_map(String::from_iter)
}

fn subject() -> impl Strategy<Value = Subject> {
    let row = proptest::option::of(1_i64..);
    (any::<bool>(), row, any::<u32>(), text(), text(), text()).prop_map(
        |(is_job, row, instance, app_key, name, topic)| {
            if is_job {
                let key = JobKey {
                    app_key,
                    instance,
                    name,
                };
                let (key, id) = (Arc::new(key), row.map(JobId));
                return Subject::Job { key, id };
            }
            let key = ListenerKey {
                app_key,
                instance,
                name,
                topic,
            };
            let (key, id) = (Arc::new(key), row.map(ListenerId));
            Subject::Listener { key, id }
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

fn marks() -> impl Strategy<Value = Marks> {
    let origin = prop_oneof![
        Just(None),
        Just(Some(TimeoutOrigin::Deadline)),
        Just(Some(TimeoutOrigin::Handler))
    ];
    let blocked = proptest::option::of(any::<u64>().prop_map(Duration::from_nanos));
    (any::<[bool; 3]>(), origin, blocked).prop_map(
        |([is_di_failure, thread_leaked, overran], timeout_origin, blocked)| Marks {
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
        marks(),
        failure,
        proptest::option::of(text()),
    );
    (ids, numbers, rest).prop_map(
        |(
            (id, is_app, status, generation),
            (started, nanos, retry_count, attempt_number),
            (subject, trigger, marks, failure, arguments),
        )| ExecutionRecord {
            execution_id: ExecutionId(Uuid::from_bytes(id)),
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
            marks,
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
        let mut bytes = Vec::new();
        write_record(&mut bytes, &record);
        prop_assert_eq!(read_record(&bytes), Ok(record));
        let shorter = bytes.len().saturating_sub(cut + 1);
        prop_assert!(read_record(&bytes[..shorter]).is_err());
        bytes.push(0);
        prop_assert_eq!(read_record(&bytes), Err(Malformed::Long(1)));
    }

    #[test]
    fn a_start_comes_back(record in record()) {
        let mut bytes = Vec::new();
        write_start(&mut bytes, &ExecutionStart {
            execution_id: record.execution_id,
            subject: &record.subject,
            source_tier: record.source_tier,
            started_at: record.started_at,
            trigger: &record.trigger,
        });
        let start = read_start(&bytes).unwrap();
        prop_assert_eq!(&start.subject, &record.subject);
        let interrupted = start.interrupted();
        prop_assert_eq!(interrupted.execution_id, record.execution_id);
        prop_assert_eq!(interrupted.trigger, record.trigger);
        prop_assert_eq!(interrupted.status, Status::Interrupted);
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

/// Bytes that were written once are read for good.
#[test]
fn the_first_version_stays_readable() {
    let session = Session {
        id: SessionId(Uuid::from_bytes([7; 16])),
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
