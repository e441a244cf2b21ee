//! What is printed, and what was verified.

#![allow(clippy::print_stdout, reason = "the story is what is asked for")]

use std::time::Duration;

/// A story that is told while it happens.
pub(super) struct Story {
    scenes: usize,
    checks: Vec<(String, bool)>,
}

impl Story {
    pub(super) const fn new() -> Self {
        Self { scenes: 0, checks: Vec::new() }
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
        self.checks.push((claim.to_owned(), holds));
    }

    /// Says what was verified; whether all of it holds.
    pub(super) fn end(self, took: Duration) -> bool {
        println!("\nVerified:");
        for (claim, holds) in &self.checks {
            println!("   [{}] {claim}", if *holds { "ok" } else { "NO" });
        }
        let held = self.checks.iter().filter(|(_, holds)| *holds).count();
        println!("\n{held} of {} hold, in {:.1} s.", self.checks.len(), took.as_secs_f64());
        held == self.checks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_story_holds_when_all_of_its_claims_do() {
        for (claims, holds) in [(&[][..], true), (&[true, true], true), (&[true, false, true], false)] {
            let mut story = Story::new();
            claims.iter().for_each(|claim| story.check("it", *claim));
            assert_eq!(story.end(Duration::ZERO), holds, "{claims:?}");
        }
    }
}
