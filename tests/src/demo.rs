//! `cargo xtask demo`: two hosts on one machine, three agents, and what they say to each other.
//!
//! It speaks plain XRPC, as whoever writes an agent would, and it checks what it tells: the last page says what was verified,
//! and the program fails when anything of it does not hold.

mod memory;
mod scenes;
mod story;

use std::time::Instant;

use crate::agent::Agent;
use crate::search::Search;
use crate::world::{Setup, World};

use story::Story;

pub use story::Claim;

/// The hosts, the agents, and what was said.
struct Stage {
    near: World,
    far: World,
    /// On the near host.
    robin: Agent,
    wren: Agent,
    /// On the far host.
    jay: Agent,
    /// The thread of Robin and Jay.
    thread: String,
    /// What nobody but the readers may see.
    secrets: Search,
}

/// Plays it, and says what was verified.
///
/// # Panics
/// When a host does not start, or refuses what the story needs.
#[must_use]
pub fn run() -> Vec<Claim> {
    let start = Instant::now();
    let mut story = Story::new();
    let mut stage = Stage::set(&mut story);
    scenes::sealed_message(&mut stage, &mut story);
    scenes::task(&mut stage, &mut story);
    scenes::rotation(&mut stage, &mut story);
    scenes::death(&mut stage, &mut story);
    scenes::handoff(&mut stage, &mut story);
    scenes::broadcast(&mut stage, &mut story);
    memory::scene(&mut stage, &mut story);
    scenes::secrecy(&stage, &mut story);
    story.end(start.elapsed())
}

impl Stage {
    fn set(story: &mut Story) -> Self {
        story.scene("Two hosts, three agents");
        let near = Setup::new().plain().start();
        let far = Setup::new().plain().plc_of(&near).start();
        story.tell(&format!("The near host is {}, the far one {}.", near.url(), far.url()));
        let [robin, wren] = ["robin", "wren"].map(|name| Agent::new(&near, name));
        let jay = Agent::new(&far, "jay");
        for (name, agent, world) in [("Robin", &robin, &near), ("Wren", &wren, &near), ("Jay", &jay, &far)] {
            let found = world.client().get("agent.identity.resolveAlias", &[("did", &agent.did)]).ok().json();
            let alias = found["alias"].as_str().unwrap_or_default();
            let place = if world.port() == near.port() { "near" } else { "far" };
            story.tell(&format!("{name} lives on the {place} host: {}, also {:.24}...", agent.did, alias));
            let both = found["verified"].as_array().is_some_and(|how| how.iter().any(|word| word == "alias"));
            story.check(&format!("{name}'s two DIDs name each other, by documents that were verified"), both);
        }
        // They are of different hosts, so each says that the other is welcome.
        jay.allow(&robin);
        jay.allow(&wren);
        robin.allow(&jay);
        wren.allow(&jay);
        Self { near, far, robin, wren, jay, thread: String::new(), secrets: Search::new() }
    }
}
