//! Clause E7: databases and spools of earlier formats, as their programs left them when they were stopped or killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Place, until};

/// Commits whose formats differ, and whether their stores counted the rows of sessions.
const FORMATS: [(&str, bool); 4] = [
    ("a6037f6", false),
    ("7d225af", false),
    ("542a5e6", true),
    ("2026-11-29", true),
];

/// A job that does nothing to what it finds.
const OTHER: &str = "[[job]]\napp = \"b\"\nname = \"other\"\nafter = \"1h\"\nrun = [\"@noop\"]\n";

fn data(name: &str) -> PathBuf {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/formats");
    formats.join(name)
}

fn unpacked(archive: &str) -> Place {
    let place = Place::new();
    let mut tar = Command::new("tar");
    let tar = tar.arg("-xzf").arg(data(archive));
    let done = tar.arg("-C").arg(place.directory.path()).status().unwrap();
    assert!(done.success());
    place.file("other.toml", OTHER);
    place
}

/// What the first session executed, by job, status and number.
fn rows(place: &Place) -> String {
    let rows = "SELECT group_concat(line, '') FROM (\
        SELECT j.name || ' ' || e.status || ' ' || count(*) || char(10) AS line FROM executions e \
        JOIN scheduled_jobs j ON j.id = e.job_id WHERE e.session_id = (SELECT min(id) FROM sessions) \
        GROUP BY j.name, e.status ORDER BY j.name, e.status)";
    place.text("telemetry.db", rows)
}

#[test]
fn e07_what_programs_of_earlier_formats_left_is_migrated_and_taken_over() {
    for (commit, is_counted) in FORMATS {
        for end in ["closed", "killed"] {
            let place = unpacked(&format!("{commit}-{end}.tar.gz"));
            let what = format!("{commit}-{end}");
            let expected = fs::read_to_string(data(&format!("{what}.rows"))).unwrap();
            // A takeover goes on beside a run, and may need more than one.
            until("it was taken over", || {
                let run = [
                    "run",
                    "other.toml",
                    "--for",
                    "300ms",
                    "--db",
                    "telemetry.db",
                ];
                let said = place.run(&run);
                assert_eq!(said.code, Some(0), "{what}: {}", said.err);
                let spools = place.directory.path().join("telemetry.db.spool");
                let mut spools = fs::read_dir(spools).into_iter().flatten().flatten();
                (!spools.any(|entry| entry.path().is_dir())).then_some(())
            });
            assert_eq!(rows(&place), expected, "{what}");
            let audit = place.run(&["audit"]);
            let (code, word) = match is_counted {
                true => (0, "complete"),
                false => (8, "it predates the counting of rows"),
            };
            assert_eq!(audit.code, Some(code), "{what}: {}", audit.out);
            assert!(audit.out.contains(word), "{what}: {}", audit.out);
            let failed = place.run(&["ls", "--name", "fails", "--failed"]);
            assert_eq!(failed.code, Some(0), "{what}: {}", failed.err);
            // Those that count rows also kept what was said.
            let why = if is_counted { "said by" } else { "exit" };
            assert!(failed.out.contains(why), "{what}: {}", failed.out);
        }
    }
}
