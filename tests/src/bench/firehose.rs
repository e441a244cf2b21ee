//! Readers of the firehose under load.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use murmuration_firehose::Frame;

use crate::subscriber::Subscriber;

use super::host::{CREATE, Host};

const STREAM: &str = "/xrpc/com.atproto.sync.subscribeRepos";

/// Reads everything there is from cursor 0, and answers events a second.
///
/// # Panics
/// When a number is missing or comes twice.
pub(super) fn replay(host: &mut Host) -> f64 {
    // The next event's number, by which the last one is known.
    let mut live = Subscriber::connect(&host.address, STREAM);
    write(host);
    let last = seq(&live.frame().unwrap().bytes);
    drop(live);

    let start = Instant::now();
    let mut subscriber = Subscriber::connect(&host.address, &format!("{STREAM}?cursor=0"));
    // Numbers begin with 1. What the frames say is looked at when the clock has stopped.
    let messages: Vec<_> = (0..last).map(|_| subscriber.message().unwrap().into_data()).collect();
    let took = start.elapsed();
    for (expected, message) in (1..).zip(&messages) {
        assert_eq!(seq(message), expected, "a gap, or a repeat");
    }
    per_second(messages.len(), took)
}

/// Runs `load` while `count` subscribers listen. Each must hear of every record that it writes.
pub(super) fn heard<T>(host: &mut Host, count: usize, load: impl FnOnce(&mut Host) -> T) -> T {
    let subscribers: Vec<_> = (0..count).map(|_| Subscriber::connect(&host.address, STREAM)).collect();
    let before = host.records();
    let written = AtomicUsize::new(usize::MAX);
    thread::scope(|scope| {
        for mut subscriber in subscribers {
            let written = &written;
            scope.spawn(move || {
                let mut heard = 0;
                while heard < written.load(Ordering::Relaxed) {
                    let _ = subscriber.message().unwrap();
                    heard += 1;
                }
            });
        }
        let outcome = load(host);
        // The last event wakes those who heard all others before they knew how many there would be.
        written.store(host.records() - before, Ordering::Relaxed);
        write(host);
        outcome
    })
}

fn write(host: &mut Host) {
    let answer = host.connect().post(CREATE, &host.create()).to_vec();
    host.wrote(&answer);
}

fn seq(frame: &[u8]) -> u64 {
    match Frame::decode(frame) {
        Ok(Frame::Event { seq, .. }) => seq.get(),
        other => panic!("not an event: {other:?}"),
    }
}

/// How many a second.
pub(super) fn per_second(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / took.as_secs_f64()
}
