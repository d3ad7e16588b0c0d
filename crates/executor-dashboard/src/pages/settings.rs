//! How a listener or job is registered: the settings that are not usual.

use executor_core::ports::StoredRegistration;

use crate::shown;

/// The settings of a registration, each with its name.
pub(crate) fn settings(registered: &StoredRegistration) -> Vec<(&'static str, String)> {
    let details = &registered.registration.details;
    let limit = details.overlap_limit.map(|it| format!(", at most {it}"));
    let overlap = details.effective_overlap();
    let text = |of: &Option<String>| of.clone();
    let all = [
        ("deadline", details.timeout.map(shown::took)),
        (
            "overlap",
            Some(format!("{}{}", overlap.as_str(), limit.unwrap_or_default())),
        ),
        (
            "priority",
            (details.priority != 0).then(|| details.priority.to_string()),
        ),
        (
            "once",
            details.once.then(|| "after its first run it ends".into()),
        ),
        ("guard", text(&details.guard_description)),
        ("program", text(&details.program)),
        ("about", text(&details.entity)),
        ("instance", text(&details.instance_name)),
        ("registered at", text(&details.source_location)),
        ("registered by", text(&details.registration_source)),
        ("annotations", text(&details.annotations)),
        ("retired", registered.retired_at.map(shown::dated)),
        ("removed", registered.removed_at.map(shown::dated)),
    ];
    let given = all
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    given.collect()
}
