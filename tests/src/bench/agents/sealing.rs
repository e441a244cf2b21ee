//! Sealing and opening in the Worker's Wasm, in processor time of workerd.

use crate::world::World;

use super::super::host::processor_seconds;
use super::super::{Plan, median};
use super::{Figure, Network};

/// Suites, as the route and as people call them. The first is the one with a bar.
const SUITES: [(&str, &str); 2] = [("x25519", "X25519"), ("x-wing", "X-Wing")];
/// Readers of a message.
const READERS: [u32; 2] = [1, 32];
/// Milliseconds of processor time that sealing for one may take by X25519.
const SEAL_MS: f64 = 0.3;

/// Seal and open of a kilobyte.
pub(super) fn measure(network: &mut Network, plan: &Plan) -> Vec<Figure> {
    let world = network.laboratory();
    let mut figures = Vec::new();
    for (suite, title) in SUITES {
        for readers in READERS {
            for open in [false, true] {
                // What V8 does to make it fast is done before.
                let _ = milliseconds(world, suite, readers, open, plan.seal_ms);
                let samples =
                    (0..plan.rounds).map(|_| milliseconds(world, suite, readers, open, plan.seal_ms));
                let title = match open {
                    false => format!("seal of 1 KiB, {title}, {readers} reader{}", plural(readers)),
                    true => format!("open of 1 KiB, {title}, as the last of {readers}"),
                };
                let line = Figure::new(title, "ms", median(samples));
                let barred = suite == "x25519" && readers == 1 && !open;
                figures.push(if barred { line.at_most(SEAL_MS) } else { line });
            }
        }
    }
    figures
}

/// Milliseconds of processor time for one.
fn milliseconds(world: &World, suite: &str, readers: u32, open: bool, ms: u32) -> f64 {
    let open = if open { "&open=true" } else { "" };
    let before = processor_seconds(world.pid());
    let answer = world.client().path(&format!("/test/seal?suite={suite}&readers={readers}&ms={ms}{open}"));
    let took = processor_seconds(world.pid()) - before;
    let times = answer.ok().json()["times"].as_f64().unwrap();
    took * 1e3 / times
}

const fn plural(count: u32) -> &'static str {
    if count == 1 { "" } else { "s" }
}
