//! Lines: what waits for one recipient in one thread.
//!
//! What is sent into a thread goes to each recipient one behind the other as soon as something of it has failed:
//!
//! - A message is *held* while one before it fails. It is *let go* when that one has ended, or has *stepped aside*.
//! - One to which the other host answers with faults steps aside in the end: it may be the message and not the host, and those behind
//!   it are not to wait for it. It is tried again as before.
//! - What is sent into the line has its head tried at once: the host may be back long before the next try is due.
//! - When anything gets through, what has stepped aside is tried at once, the oldest first.
//!
//! - What is sent while the one before it is under way goes at once. Nothing has failed, and the reader puts them in order.
//!
//! This is what is known of it in memory. The receipts in storage say the same, save of a first try: whether it is under way or its
//! sender has died with it. After a start it may be either, so it keeps those behind it until it is known, or the alarm makes it.

use std::collections::BTreeMap;

use murmuration_syntax::Did;

use crate::limits::{FLUSH_PAUSE_MICROS, MAX_FLUSH};
use crate::{Keeper, Receipt};

/// The lines in which something waits.
#[derive(Default)]
pub(crate) struct Lines(BTreeMap<(String, String), BTreeMap<u32, Standing>>);

/// How a message stands in its line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Standing {
    /// It waits for those before it.
    Held,
    /// It is to be tried for the first time.
    LetGo,
    /// It has failed, and is tried again. When that may be before its time.
    Failing(u64),
    /// It has failed so often that those behind it go on. When it may be tried before its time.
    Aside(u64),
}

impl Lines {
    /// Notes how a message stands with a recipient.
    pub(crate) fn note(&mut self, thread: &str, seq: u32, receipt: &Receipt) {
        let standing = match receipt.keeper {
            _ if !receipt.is_open() => return self.remove(thread, &receipt.to, seq),
            Keeper::Line => Standing::Held,
            Keeper::Sender => return,
            Keeper::Queue | Keeper::Alarm if receipt.has_stepped_aside() => {
                Standing::Aside(receipt.rested_at())
            }
            Keeper::Queue | Keeper::Alarm => Standing::Failing(receipt.rested_at()),
        };
        self.set(thread, seq, receipt, standing);
    }

    /// Notes how a message stands that was sent before memory was lost.
    pub(crate) fn note_old(&mut self, thread: &str, seq: u32, receipt: &Receipt) {
        if receipt.is_open() && receipt.keeper == Keeper::Sender {
            self.set(thread, seq, receipt, Standing::LetGo);
        } else {
            self.note(thread, seq, receipt);
        }
    }

    /// Whether what is sent now has to wait.
    pub(crate) fn is_blocked(&self, thread: &str, to: &Did) -> bool {
        let line = self.0.get(&name(thread, to));
        line.is_some_and(|line| line.values().any(|standing| !matches!(standing, Standing::Aside(_))))
    }

    /// Lets go the next message that is held, if nothing before it keeps it.
    pub(crate) fn let_go(&mut self, thread: &str, to: &Did) -> Option<u32> {
        let line = self.0.get_mut(&name(thread, to))?;
        let (seq, standing) =
            line.iter_mut().find(|(_, standing)| !matches!(standing, Standing::Aside(_)))?;
        if *standing != Standing::Held {
            return None;
        }
        *standing = Standing::LetGo;
        Some(*seq)
    }

    /// The head of a line, if it fails and was not tried lately.
    pub(crate) fn head(&mut self, thread: &str, to: &Did, now: u64) -> Option<u32> {
        let line = self.0.get_mut(&name(thread, to))?;
        let (seq, standing) =
            line.iter_mut().find(|(_, standing)| !matches!(standing, Standing::Aside(_)))?;
        match standing {
            Standing::Failing(at) if *at <= now => {
                *at = now.saturating_add(FLUSH_PAUSE_MICROS);
                Some(*seq)
            }
            _ => None,
        }
    }

    /// Messages that have stepped aside and were not tried lately, the oldest first.
    pub(crate) fn aside(&mut self, thread: &str, to: &Did, now: u64) -> Vec<u32> {
        let Some(line) = self.0.get_mut(&name(thread, to)) else { return Vec::new() };
        let rested = line.iter_mut().filter_map(|(seq, standing)| match standing {
            Standing::Aside(at) if *at <= now => {
                *at = now.saturating_add(FLUSH_PAUSE_MICROS);
                Some(*seq)
            }
            _ => None,
        });
        rested.take(MAX_FLUSH).collect()
    }

    fn set(&mut self, thread: &str, seq: u32, receipt: &Receipt, standing: Standing) {
        self.0.entry(name(thread, &receipt.to)).or_default().insert(seq, standing);
    }

    fn remove(&mut self, thread: &str, to: &Did, seq: u32) {
        let name = name(thread, to);
        let Some(line) = self.0.get_mut(&name) else { return };
        line.remove(&seq);
        if line.is_empty() {
            self.0.remove(&name);
        }
    }
}

fn name(thread: &str, to: &Did) -> (String, String) {
    (thread.to_owned(), to.as_str().to_owned())
}
