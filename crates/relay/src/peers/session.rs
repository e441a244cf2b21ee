//! How much is read of a peer at a time.

use crate::limits::{PEER_PASSED_BYTES, PEER_QUIET_MS, PEER_SESSION_EVENTS, PEER_SESSION_MS};

/// A peer's stream as it is being read: until it has nothing more to say, or enough was read.
#[derive(Debug)]
pub struct Session {
    frames: Vec<Vec<u8>>,
    bytes: usize,
    max_bytes: usize,
    began_ms: u64,
    more: bool,
    problem: Option<&'static str>,
}

/// What was read.
#[derive(Debug, Default)]
pub struct Haul {
    /// Frames, as they came.
    pub frames: Vec<Vec<u8>>,
    /// Their bytes.
    pub bytes: usize,
    /// Whether the peer has more.
    pub more: bool,
    /// What went wrong.
    pub problem: Option<String>,
}

impl Session {
    /// A session that begins now, and reads no more than so many bytes.
    #[must_use]
    pub const fn new(max_bytes: usize, now_ms: u64) -> Self {
        Self { frames: Vec::new(), bytes: 0, max_bytes, began_ms: now_ms, more: false, problem: None }
    }

    /// Milliseconds to wait for the next frame; `None` when the session is over.
    #[must_use]
    pub fn patience(&self, now_ms: u64) -> Option<u32> {
        let age = now_ms.checked_sub(self.began_ms).unwrap_or(PEER_SESSION_MS);
        let left = PEER_SESSION_MS.saturating_sub(age).min(PEER_QUIET_MS);
        (left > 0 && !self.more && self.problem.is_none()).then(|| u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// Takes a frame that has come. One that is larger than a frame may be is judged, too: it says whose event is lost, and the
    /// stream goes on behind it.
    pub fn take(&mut self, frame: Vec<u8>) {
        if frame.len() > PEER_PASSED_BYTES {
            self.problem = Some("a frame is too large to be passed over");
            return;
        }
        self.bytes += frame.len();
        self.frames.push(frame);
        self.more = self.frames.len() >= PEER_SESSION_EVENTS || self.bytes >= self.max_bytes;
    }

    /// Something has come that is no frame.
    pub fn refuse(&mut self, problem: &'static str) {
        self.problem = Some(problem);
    }

    /// Ends the session.
    #[must_use]
    pub fn end(self, now_ms: u64) -> Haul {
        // Who was cut short in the middle of its words has more to say.
        let late = now_ms.checked_sub(self.began_ms).is_none_or(|age| age >= PEER_SESSION_MS);
        let problem = self.problem.map(str::to_owned);
        Haul {
            more: (self.more || late) && problem.is_none(),
            frames: self.frames,
            bytes: self.bytes,
            problem,
        }
    }
}
