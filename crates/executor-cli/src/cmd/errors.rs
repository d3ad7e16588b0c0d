//! `executor errors`: failures in groups.

use std::process::ExitCode;

use command_executor::diagnosis::{ErrorGroup, ErrorGroups, error_groups};
use serde_json::json;

use crate::args::verbs::ErrorsArgs;
use crate::cmd::looking::{Looking, window_of};
use crate::exit::{Failure, matched};
use crate::output::columns::{Columns, Text};
use crate::output::plain::{self, plain};
use crate::output::{console, shown};

/// The number of failures that are looked at.
const LOOKED_AT_MAX: u64 = 100_000;

pub(crate) async fn errors(looking: &Looking, args: ErrorsArgs) -> Result<ExitCode, Failure> {
    let filters = looking.filters(&args.selection, None).await?;
    let found = error_groups(looking.history.as_ref(), filters, LOOKED_AT_MAX).await?;
    let groups = found.groups.iter().take(args.limit as usize);
    if looking.json {
        console::print(plain::json_lines(groups.map(json_of))).await?;
        return Ok(matched(!found.groups.is_empty()));
    }
    let shown = summary(looking, &found);
    let footer = looking
        .footer(shown, window_of(&args.selection), |it| {
            args.selection.is_about(it)
        })
        .await?;
    let table = match found.groups.is_empty() {
        true => String::new(),
        false => table(looking, groups),
    };
    console::print(format!("{table}{footer}")).await?;
    Ok(matched(!found.groups.is_empty()))
}

fn table<'g>(looking: &Looking, groups: impl Iterator<Item = &'g ErrorGroup>) -> String {
    let mut columns = Columns::new(["COUNT", "FIRST", "LAST", "ID", "WHERE", "ERROR"])
        .dispensable(["ID", "FIRST"]);
    for group in groups {
        columns.row([
            Text::number(group.count.to_string()),
            looking.zone.time(group.first_at).into(),
            looking.zone.time(group.last_at).into(),
            group.last.short().into(),
            place_of(group).into(),
            text_of(group).into(),
        ]);
    }
    columns.text()
}

fn summary(looking: &Looking, found: &ErrorGroups) -> String {
    let failures = shown::counted(found.looked_at, "failure");
    let groups = shown::counted(found.groups.len() as u64, "group");
    let all = format!("{failures} in {groups}");
    match found.looked_to {
        Some(to) => format!("{all}, since {}; there are more", looking.zone.time(to)),
        None => all,
    }
}

/// Type and shape; what was interrupted has no message.
fn text_of(group: &ErrorGroup) -> String {
    let error_type = plain(&group.error_type);
    match group.shape.is_empty() {
        true => error_type,
        false => format!("{error_type}: {}", plain(&group.shape)),
    }
}

fn place_of(group: &ErrorGroup) -> String {
    match &group.places[..] {
        [] => String::new(),
        [(place, _)] => plain(place),
        [(place, _), rest @ ..] => format!("{} +{}", plain(place), rest.len()),
    }
}

fn json_of(group: &ErrorGroup) -> serde_json::Value {
    let places = group
        .places
        .iter()
        .map(|(place, count)| json!({ "where": place, "count": count }));
    json!({
        "error_type": group.error_type,
        "shape": group.shape,
        "count": group.count,
        "first_us": group.first_at.as_micros(),
        "last_us": group.last_at.as_micros(),
        "last_id": group.last.to_string(),
        "last_message": group.last_message,
        "places": places.collect::<Vec<_>>(),
    })
}
