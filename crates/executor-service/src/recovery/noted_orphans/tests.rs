//! Notes of programs: which files are whose.

use executor_core::ports::ProgramGroup;
use executor_core::{Entity, ExecutionId, Timestamp};

use super::*;

fn orphan() -> Orphan {
    let group = ProgramGroup {
        boot: [1; 16],
        id: 7,
        started: 3,
        program: "sleep".into(),
    };
    let id = ExecutionId::new(Timestamp::from_micros(1));
    Orphan::new(id, Entity::job("a", 0, "nightly").into(), group)
}

#[test]
fn a19_a_note_replaces_a_broken_one_and_only_its_own_files_are_touched() {
    let root = tempfile::tempdir().unwrap();
    let page = root.path().join("it.page");
    fs::write(&page, "").unwrap();
    fs::set_permissions(&page, fs::Permissions::from_mode(0o640)).unwrap();
    let orphan = orphan();
    let note_path = root.path().join(name_of(&orphan));
    fs::write(&note_path, "cut").unwrap();
    // Somebody has put a link where the note is made.
    let victim = root.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, note_path.with_extension(UNBORN)).unwrap();
    note(&page, std::slice::from_ref(&orphan));
    assert_eq!(read(&note_path), Some(orphan.clone()));
    assert_eq!(fs::read_to_string(&victim).unwrap(), "mine");
    // The same content under another name, and another's files.
    let foreign = ["mine.orphan", "mine.unborn", "notes-7.unborn"];
    for name in foreign {
        fs::copy(&note_path, root.path().join(name)).unwrap();
    }
    let unborn = note_path.with_extension(UNBORN);
    fs::write(&unborn, "").unwrap();
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3_600);
    for name in foreign
        .map(|name| root.path().join(name))
        .iter()
        .chain([&unborn])
    {
        let file = fs::File::options().write(true).open(name).unwrap();
        file.set_modified(long_ago).unwrap();
    }
    // Of another boot, so it has ended.
    assert_eq!(noted(root.path()), []);
    remove_old(root.path());
    assert!(!note_path.exists() && !unborn.exists());
    for name in foreign {
        assert!(root.path().join(name).exists(), "{name}");
    }
}

#[test]
fn a19_a_note_may_be_read_by_whoever_may_read_the_spool() {
    let root = tempfile::tempdir().unwrap();
    let page = root.path().join("it.page");
    fs::write(&page, "").unwrap();
    fs::set_permissions(&page, fs::Permissions::from_mode(0o600)).unwrap();
    note(&page, &[orphan()]);
    let path = root.path().join(name_of(&orphan()));
    let notes = notes(root.path());
    assert_eq!(notes.len(), 1);
    assert_eq!(notes[0].extension(), path.extension());
    let mode = fs::metadata(&notes[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
