//! How a verb that runs on learns that it should end.

use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::{Error, Result};

/// Says when we are asked to end. A second request ends us at once (and the wardens end the rest).
pub(super) fn watch() -> Result<Receiver<()>> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM]).map_err(Error::at("signals"))?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for (count, signal) in signals.forever().enumerate() {
            if count > 0 || sender.send(()).is_err() {
                std::process::exit(FROM_SIGNAL + signal);
            }
        }
    });
    Ok(receiver)
}

/// How often the processes are looked at in between.
pub(super) const WATCH: Duration = Duration::from_millis(100);

/// What a shell reports for a process that a signal ended.
const FROM_SIGNAL: i32 = 128;
