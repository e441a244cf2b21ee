//! What is printed, and what was verified.

#![allow(clippy::print_stdout, reason = "the story is what is asked for")]

use std::time::Duration;

/// A story that is told while it happens.
pub(super) struct Story {
    scenes: usize,
    claims: Vec<Claim>,
}

/// Something that the story claims.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Claim {
    /// What.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
}

impl Story {
    pub(super) const fn new() -> Self {
        Self { scenes: 0, claims: Vec::new() }
    }

    /// Begins a scene.
    pub(super) fn scene(&mut self, title: &str) {
        self.scenes += 1;
        println!("\n{}. {title}", self.scenes);
    }

    /// Says what happens.
    pub(super) fn tell(&self, text: &str) {
        println!("   {text}");
    }

    /// Says what somebody reads.
    pub(super) fn quote(&self, who: &str, text: &str) {
        println!("   {who} reads: \"{text}\"");
    }

    /// Notes whether something holds that the story claims.
    pub(super) fn check(&mut self, claim: &str, holds: bool) {
        if !holds {
            println!("   THIS DOES NOT HOLD: {claim}");
        }
        self.claims.push(Claim { text: claim.to_owned(), holds });
    }

    /// Says what was verified, and gives it back.
    pub(super) fn end(self, took: Duration) -> Vec<Claim> {
        println!("\nVerified:");
        for Claim { text, holds } in &self.claims {
            println!("   [{}] {text}", if *holds { "ok" } else { "NO" });
        }
        let held = self.claims.iter().filter(|claim| claim.holds).count();
        println!("\n{held} of {} hold, in {:.1} s.", self.claims.len(), took.as_secs_f64());
        self.claims
    }
}
