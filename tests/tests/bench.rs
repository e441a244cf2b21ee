//! `cargo xtask bench`, small: that it runs, not how fast anything is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use murmuration_tests::bench::{Against, NAMES, Plan, run, table};

#[test]
fn every_measure_has_a_figure_of_both_hosts() {
    let lines = run(&Plan::QUICK, &[], &Against::Reference);
    let names: Vec<&str> = lines.iter().map(|line| line.name).collect();
    assert_eq!(names, NAMES);
    for line in lines.iter().filter(|line| line.name != "export-memory") {
        assert!(line.this > 0.0 && line.other > 0.0, "{line:?}");
    }
    assert_eq!(table(&lines, "reference PDS").lines().count(), 2 + lines.len());
}
