//! `cargo xtask bench`, small: that it runs, not how fast anything is.

use murmuration_tests::bench::{Against, NAMES, Plan, agent_table, run, run_agents, table};

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

#[test]
fn what_agents_do_has_figures_and_a_delivered_message_its_rows() {
    let figures = run_agents(&Plan::QUICK, &[]);
    assert!(figures.len() > 20, "{figures:?}");
    for line in &figures {
        assert!(line.figure >= 0.0, "{line:?}");
    }
    let table = agent_table(&figures);
    assert_eq!(table.lines().count(), 2 + figures.len());
    let rows = table.lines().find(|line| line.contains("rows written")).unwrap();
    assert!(rows.ends_with("| at most 6 rows | met |"), "{rows}");
}
