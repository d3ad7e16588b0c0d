//! The two tables that are written by COPY. All other SQL is text.

diesel::table! {
    executor.executions (ended_us, execution_id) {
        ended_us -> BigInt,
        start_us -> BigInt,
        duration_us -> BigInt,
        entity_id -> BigInt,
        session_id -> BigInt,
        flags -> Integer,
        kind -> SmallInt,
        status -> SmallInt,
        execution_id -> Uuid,
        trigger_id -> Nullable<Text>,
        trigger_origin -> Nullable<Text>,
        trigger_mode -> Nullable<Text>,
        due_us -> Nullable<BigInt>,
        exit_code -> Nullable<Integer>,
        blocked_us -> Nullable<BigInt>,
        retry_count -> Nullable<BigInt>,
        attempt_number -> Nullable<BigInt>,
        topic -> Nullable<Text>,
        args_json -> Nullable<Text>,
        error_type -> Nullable<Text>,
        error_message -> Nullable<Text>,
        error_report -> Nullable<Text>,
    }
}

diesel::table! {
    executor.execution_lines (ended_us, execution_id) {
        ended_us -> BigInt,
        execution_id -> Uuid,
        entity_id -> BigInt,
        lines -> BigInt,
        total_lines -> BigInt,
        total_bytes -> BigInt,
        flags -> Integer,
        body -> Text,
    }
}
