//! The tables, for diesel. Written by hand: the generated form maps `INTEGER` to 32 bits, which
//! silently mangles microseconds. A test compares it with the catalogue of a migrated database.

diesel::table! {
    sessions (id) {
        id -> BigInt,
        session_uuid -> Binary,
        host -> Text,
        pid -> BigInt,
        started_us -> BigInt,
        heartbeat_us -> BigInt,
        stopped_us -> Nullable<BigInt>,
        status -> Text,
        error_type -> Nullable<Text>,
        error_message -> Nullable<Text>,
        error_report -> Nullable<Text>,
        offered -> BigInt,
        recovered -> BigInt,
        stored -> BigInt,
        waiting -> BigInt,
        spooled -> BigInt,
        filtered -> BigInt,
        dropped_overflow -> BigInt,
        dropped_exhausted -> BigInt,
        dropped_constraint -> BigInt,
        dropped_unstorable -> BigInt,
        dropped_damaged -> BigInt,
        dropped_shutdown -> BigInt,
        durability -> Nullable<Text>,
        is_counted -> BigInt,
        pruned -> BigInt,
        taken_over -> BigInt,
        ledger_state -> Nullable<Text>,
        trusted_us -> Nullable<BigInt>,
        program -> Nullable<Text>,
        version -> Nullable<Text>,
        config_hash -> Nullable<Text>,
    }
}

diesel::table! {
    listeners (id) {
        id -> BigInt,
        app_key -> Text,
        instance -> BigInt,
        name -> Text,
        topic -> Text,
        instance_name -> Nullable<Text>,
        source_tier -> Text,
        timeout_us -> Nullable<BigInt>,
        description -> Nullable<Text>,
        guard_description -> Nullable<Text>,
        source_location -> Nullable<Text>,
        registration_source -> Nullable<Text>,
        entity -> Nullable<Text>,
        overlap -> Nullable<Text>,
        overlap_limit -> Nullable<BigInt>,
        priority -> BigInt,
        once -> BigInt,
        retired_us -> Nullable<BigInt>,
        removed_us -> Nullable<BigInt>,
        program -> Nullable<Text>,
        annotations -> Nullable<Text>,
    }
}

diesel::table! {
    scheduled_jobs (id) {
        id -> BigInt,
        app_key -> Text,
        instance -> BigInt,
        name -> Text,
        handler_name -> Nullable<Text>,
        trigger_type -> Text,
        trigger_label -> Nullable<Text>,
        trigger_detail -> Nullable<Text>,
        job_group -> Nullable<Text>,
        arguments_json -> Nullable<Text>,
        instance_name -> Nullable<Text>,
        source_tier -> Text,
        timeout_us -> Nullable<BigInt>,
        description -> Nullable<Text>,
        guard_description -> Nullable<Text>,
        source_location -> Nullable<Text>,
        registration_source -> Nullable<Text>,
        entity -> Nullable<Text>,
        overlap -> Nullable<Text>,
        overlap_limit -> Nullable<BigInt>,
        priority -> BigInt,
        once -> BigInt,
        retired_us -> Nullable<BigInt>,
        removed_us -> Nullable<BigInt>,
        last_due_us -> Nullable<BigInt>,
        next_due_us -> Nullable<BigInt>,
        program -> Nullable<Text>,
        annotations -> Nullable<Text>,
    }
}

diesel::table! {
    executions (id) {
        id -> BigInt,
        execution_id -> Binary,
        kind -> BigInt,
        status -> BigInt,
        session_id -> BigInt,
        listener_id -> Nullable<BigInt>,
        job_id -> Nullable<BigInt>,
        start_us -> BigInt,
        duration_us -> BigInt,
        flags -> BigInt,
        blocked_us -> Nullable<BigInt>,
        retry_count -> BigInt,
        attempt_number -> BigInt,
        trigger_id -> Nullable<Text>,
        trigger_origin -> Nullable<Text>,
        trigger_mode -> Nullable<Text>,
        args_json -> Nullable<Text>,
        topic_id -> Nullable<BigInt>,
        due_us -> Nullable<BigInt>,
        exit_code -> Nullable<BigInt>,
    }
}

diesel::table! {
    execution_errors (id) {
        id -> BigInt,
        error_type -> Text,
        error_message -> Text,
        error_report -> Nullable<Text>,
    }
}

diesel::table! {
    execution_orphans (id) {
        id -> BigInt,
        app_key -> Text,
        instance -> BigInt,
        name -> Text,
        topic -> Nullable<Text>,
    }
}

diesel::table! {
    gaps (id) {
        id -> BigInt,
        session_id -> BigInt,
        reason -> Text,
        count -> BigInt,
        first_us -> BigInt,
        last_us -> BigInt,
    }
}

diesel::table! {
    gap_entities (gap_id, kind, app_key, instance, name, topic) {
        gap_id -> BigInt,
        kind -> BigInt,
        app_key -> Text,
        instance -> BigInt,
        name -> Text,
        topic -> Text,
        count -> BigInt,
    }
}

diesel::table! {
    rollup_entities (id) {
        id -> BigInt,
        kind -> BigInt,
        app_key -> Text,
        instance -> BigInt,
        name -> Text,
        topic -> Text,
    }
}

diesel::table! {
    rollups (span_us, start_us, entity_id) {
        span_us -> BigInt,
        start_us -> BigInt,
        entity_id -> BigInt,
        success -> BigInt,
        error -> BigInt,
        timed_out -> BigInt,
        cancelled -> BigInt,
        panicked -> BigInt,
        skipped -> BigInt,
        interrupted -> BigInt,
        sum_us -> BigInt,
        max_us -> BigInt,
        sketch -> Binary,
        last_error_us -> Nullable<BigInt>,
        last_error -> Nullable<Text>,
    }
}

diesel::table! {
    rollup_progress (id) {
        id -> BigInt,
        rolled_up_to -> BigInt,
    }
}

diesel::table! {
    history (id) {
        id -> BigInt,
        history_id -> Binary,
    }
}

diesel::table! {
    session_hours (session_id, hour_us) {
        session_id -> BigInt,
        hour_us -> BigInt,
        stored -> BigInt,
        pruned -> BigInt,
    }
}

diesel::table! {
    topics (id) {
        id -> BigInt,
        text -> Text,
    }
}

diesel::table! {
    execution_lines (id) {
        id -> BigInt,
        lines -> BigInt,
        total_lines -> BigInt,
        total_bytes -> BigInt,
        flags -> BigInt,
        body -> Text,
    }
}

diesel::table! {
    missed_runs (id) {
        id -> BigInt,
        app_key -> Text,
        instance -> BigInt,
        name -> Text,
        reason -> Text,
        count -> BigInt,
        first_due_us -> BigInt,
        last_due_us -> BigInt,
        session_id -> Nullable<BigInt>,
    }
}

diesel::table! {
    pauses (id) {
        id -> BigInt,
        session_id -> BigInt,
        app_key -> Nullable<Text>,
        instance -> Nullable<BigInt>,
        name -> Nullable<Text>,
        from_us -> BigInt,
        until_us -> Nullable<BigInt>,
    }
}

diesel::table! {
    prunes (id) {
        id -> BigInt,
        session_id -> Nullable<BigInt>,
        rule -> Text,
        hour_us -> BigInt,
        count -> BigInt,
        first_us -> BigInt,
        last_us -> BigInt,
    }
}

diesel::table! {
    sources (id) {
        id -> BigInt,
        session_id -> BigInt,
        name -> Text,
        lines -> BigInt,
        events -> BigInt,
        bad_lines -> BigInt,
        unheard -> BigInt,
    }
}

diesel::table! {
    source_topics (source_id, hour_us, topic) {
        source_id -> BigInt,
        hour_us -> BigInt,
        topic -> Text,
        count -> BigInt,
    }
}

diesel::table! {
    source_bad_lines (source_id, line) {
        source_id -> BigInt,
        line -> BigInt,
        at_us -> BigInt,
        problem -> Text,
        text -> Text,
    }
}

diesel::table! {
    actions (id) {
        id -> BigInt,
        session_id -> Nullable<BigInt>,
        at_us -> BigInt,
        who -> Text,
        origin -> Text,
        action -> Text,
        target -> Text,
        outcome -> Text,
    }
}

diesel::table! {
    schedules (id) {
        id -> BigInt,
        job_id -> BigInt,
        from_us -> BigInt,
        until_us -> Nullable<BigInt>,
        text -> Text,
        zone -> Nullable<Text>,
        jitter_us -> BigInt,
        missed -> Text,
        persistent -> BigInt,
    }
}

diesel::table! {
    session_registrations (session_id, kind, registration, from_us) {
        session_id -> BigInt,
        kind -> BigInt,
        registration -> BigInt,
        from_us -> BigInt,
        until_us -> Nullable<BigInt>,
    }
}

diesel::joinable!(executions -> sessions (session_id));
diesel::joinable!(gaps -> sessions (session_id));
diesel::joinable!(prunes -> sessions (session_id));

diesel::allow_tables_to_appear_in_same_query!(
    sessions,
    listeners,
    scheduled_jobs,
    executions,
    execution_errors,
    execution_orphans,
    gaps,
    prunes,
    session_hours,
);
