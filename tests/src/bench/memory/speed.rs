//! How fast memories are found, in workerd.

use std::fmt::Write as _;

use crate::world::{Setup, World};

/// Memories of an index.
const SIZES: [u32; 3] = [1_000, 10_000, 50_000];
/// Milliseconds for which is searched.
const SEARCH_MS: u32 = 4_000;
/// The same, only to see whether it runs.
const QUICK_MS: u32 = 50;

/// What a size took.
#[derive(Clone, Debug)]
struct Speed {
    /// Milliseconds from the entries' bytes to an index.
    built: f64,
    /// Milliseconds of a search, its query's embedding included: half of them took less, and 95 % did.
    p50: f64,
    /// The same.
    p95: f64,
    /// Megabytes of the index.
    megabytes: f64,
}

/// The table.
pub(super) fn speed(quick: bool) -> String {
    let world = Setup::new().start();
    let mut text = String::from(
        "### speed in workerd\n| memories | index from its bytes | search, p50 | p95 | index |\n|---|---|---|---|---|\n",
    );
    for size in SIZES {
        let speed = measure(&world, size, if quick { QUICK_MS } else { SEARCH_MS });
        let _ = writeln!(
            text,
            "| {size} | {:.1} ms | {:.2} ms | {:.2} ms | {:.1} MB |",
            speed.built, speed.p50, speed.p95, speed.megabytes
        );
    }
    text
}

fn measure(world: &World, entries: u32, ms: u32) -> Speed {
    let ask = |ms: u32| world.client().path(&format!("/test/recall?entries={entries}&ms={ms}")).ok().json();
    // What V8 does to make it fast is done before.
    let _ = ask(ms / 4);
    let answer = ask(ms);
    let number = |name: &str| answer[name].as_f64().unwrap();
    let mut searches: Vec<f64> =
        answer["searches"].as_array().unwrap().iter().map(|search| search.as_f64().unwrap() / 1e3).collect();
    searches.sort_by(f64::total_cmp);
    let share = |share: usize| searches[(searches.len() - 1) * share / 100];
    Speed { built: number("built") / 1e3, p50: share(50), p95: share(95), megabytes: number("bytes") / 1e6 }
}
