//! Tests of `columns.rs`.

use super::*;

fn table() -> Columns {
    let mut table =
        Columns::new(["ENDED", "ID", "WHAT", "OUTCOME", "TOOK", "WHY"]).dispensable(["ID", "TOOK"]);
    for (name, why) in [
        (
            "house/backup",
            "rsync: connection closed by a host that is far away",
        ),
        ("a/b", ""),
    ] {
        table.row([
            "14:02:11".to_owned().into(),
            "6f2a91c04e".to_owned().into(),
            name.to_owned().into(),
            Text::status(Status::Error),
            Text::number("4m 12s"),
            why.to_owned().into(),
        ]);
    }
    table
}

fn at(width: usize) -> Vec<String> {
    let mut table = table();
    table.fit(width);
    table.text().lines().map(str::to_owned).collect()
}

#[test]
fn i01_a_table_fits_its_terminal_and_what_matters_stays() {
    for width in [48, 60, 80, 100, 160] {
        let lines = at(width);
        assert!(
            lines.iter().all(|line| line.chars().count() <= width),
            "{lines:#?}"
        );
        for part in ["14:02:11", "house/backup", "error", "rsync"] {
            assert!(lines[1].contains(part), "{part} at {width}: {lines:#?}");
        }
    }
    assert!(!at(48)[0].contains("ID") && !at(48)[0].contains("TOOK"));
    assert!(at(60)[0].contains("ID") && !at(60)[0].contains("TOOK"));
    assert!(at(80)[0].contains("TOOK"));
    assert!(
        at(160)[1].ends_with("far away"),
        "nothing is cut without need"
    );
}

#[test]
fn i01_numbers_are_aligned_to_the_right_and_no_line_ends_in_spaces() {
    let mut table = Columns::new(["COUNT", "WHAT"]);
    for count in ["7", "12,345"] {
        table.row([Text::number(count), "x".to_owned().into()]);
    }
    assert_eq!(table.text(), "COUNT   WHAT\n     7  x\n12,345  x\n");
}

#[test]
fn i01_columns_that_are_too_wide_give_way_the_widest_first() {
    let mut table = Columns::new(["WHAT", "COUNT", "WHY"]);
    table.row(["x".repeat(3_000), "7".into(), "y".repeat(50)].map(Text::from));
    table.fit(80);
    let lines: Vec<String> = table.text().lines().map(str::to_owned).collect();
    assert!(
        lines.iter().all(|line| line.chars().count() <= 80),
        "{lines:#?}"
    );
    assert!(
        lines[1].contains("x…  7") && lines[1].ends_with("y…"),
        "{lines:#?}"
    );
}

#[test]
fn i01_a_line_is_broken_between_words() {
    assert_eq!(wrapped_at("one two three", 20), "one two three\n");
    assert_eq!(wrapped_at("one two three", 8), "one two\n  three\n");
    assert_eq!(
        wrapped_at("incomprehensibilities", 8),
        "incomprehensibilities\n",
        "no word is broken"
    );
    assert_eq!(wrapped_at("", 8), "\n");
}
