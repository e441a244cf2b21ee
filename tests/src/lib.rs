//! Black-box tests against the real Worker in workerd.
//!
//! A test starts a [`World`]: a host of its own, on free ports and in a folder of its own, with a PLC server beside it.
//! It speaks to it as anybody would, over HTTP ([`Client`]) and the firehose ([`Subscriber`]), and it may kill it.
//!
//! ```no_run
//! let mut world = murmuration_tests::World::start();
//! let alice = world.account("alice");
//! let client = world.client().with_token(&alice.access);
//! let answer = client.get("com.atproto.server.getSession", &[]);
//! assert_eq!(answer.json()["did"], alice.did);
//! world.kill_9();
//! world.restart();
//! assert_eq!(client.get("com.atproto.server.getSession", &[]).status, 200);
//! ```

// This package is tests, all of it: a broken expectation ends them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod agent;
pub mod bench;
mod client;
pub mod demo;
pub mod malformed;
mod scale;
pub mod schedule;
mod search;
mod stand_in;
mod subscriber;
mod watcher;
mod wire;
mod world;

pub use agent::{Agent, all_done, message, texts};
pub use client::{Answer, Client};
pub use scale::{Dice, scaled};
pub use search::Search;
pub use stand_in::{Noted, Reply, StandIn, pause};
pub use subscriber::{Frame, Subscriber};
pub use watcher::{Watched, Watcher};
pub use wire::{Received, Sent, Wire};
pub use world::{Account, Setup, World};
