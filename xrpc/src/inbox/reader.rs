//! One reader of an inbox, and what lies of it with its socket while the object sleeps.

use murmuration_rate::Window;
use murmuration_relay::pace::Place;
use serde::{Deserialize, Serialize};

use crate::token::Claims;

/// One who reads.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) place: Place,
    /// When it was first seen not to take what lies before it, in milliseconds.
    pub(super) blocked_since: Option<u64>,
    /// By which token it reads.
    pub(super) claims: Claims,
    /// Whether bodies are opened for it.
    pub(super) opens: bool,
    /// Whether it is free of rate limits.
    pub(super) unlimited: bool,
    /// The frames that it has sent in this second.
    pub(super) frames: Window,
    /// Its calls that wait for an answer.
    pub(super) waiting: usize,
}

/// What is kept of it.
#[derive(Deserialize, Serialize)]
struct Kept {
    /// Where it stands, if it is not live: the last number that it was told, and whether it was live before.
    behind: Option<(u64, bool)>,
    claims: Claims,
    opens: bool,
    unlimited: bool,
}

impl Reader {
    pub(super) fn new(place: Place, claims: Claims, opens: bool, unlimited: bool) -> Self {
        Self { place, blocked_since: None, claims, opens, unlimited, frames: Window::default(), waiting: 0 }
    }

    pub(super) fn attachment(&self) -> String {
        let behind = match self.place {
            Place::Live => None,
            Place::Behind { after, fell } => Some((after, fell)),
        };
        let Self { claims, opens, unlimited, .. } = self;
        let kept = Kept { behind, claims: claims.clone(), opens: *opens, unlimited: *unlimited };
        // INVARIANT: texts, numbers and flags have a JSON form.
        serde_json::to_string(&kept).unwrap_or_default()
    }

    pub(super) fn of_attachment(text: &str) -> Option<Self> {
        let Kept { behind, claims, opens, unlimited } = serde_json::from_str(text).ok()?;
        let place = behind.map_or(Place::Live, |(after, fell)| Place::Behind { after, fell });
        Some(Self::new(place, claims, opens, unlimited))
    }
}
