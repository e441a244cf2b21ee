//! What is measured, and the bars.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::firehose::{heard, per_second, replay};
use super::host::{BATCH, CREATE, Host};
use super::{Plan, median};

/// One line of the table.
pub(super) struct Measure {
    /// What `--only` calls it.
    pub(super) name: &'static str,
    /// What it is.
    pub(super) title: &'static str,
    /// What a sample counts.
    pub(super) unit: &'static str,
    /// Whether less is better.
    pub(super) less: bool,
    /// What must hold.
    pub(super) bar: Bar,
    /// Takes one sample.
    pub(super) sample: fn(&mut Host, &Plan, usize) -> f64,
}

/// What must hold of a measure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Bar {
    /// Better than the other host by this factor.
    Times(f64),
    /// The figure itself is at most this.
    AtMost(f64),
}

/// The bars, at 10,000 records; and what "flat" means in megabytes.
pub(super) const MEASURES: [Measure; 10] = [
    Measure {
        name: "create",
        title: "createRecord, 1 client, p50",
        unit: "ms",
        less: true,
        bar: Bar::Times(4.0),
        sample: create,
    },
    Measure {
        name: "create-32",
        title: "createRecord, 32 clients, one account",
        unit: "records/s",
        less: false,
        bar: Bar::Times(8.0),
        sample: create_32,
    },
    Measure {
        name: "batch",
        title: "applyWrites of 200 creates",
        unit: "records/s",
        less: false,
        bar: Bar::Times(12.0),
        sample: batch,
    },
    Measure {
        name: "get",
        title: "getRecord, 16 clients",
        unit: "calls/s",
        less: false,
        bar: Bar::Times(4.0),
        sample: |host, plan, round| read_16(host, plan.gets, round, Host::record_path),
    },
    Measure {
        name: "list",
        title: "listRecords of 100, 16 clients",
        unit: "calls/s",
        less: false,
        bar: Bar::Times(5.0),
        sample: |host, plan, round| read_16(host, plan.lists, round, Host::page_path),
    },
    Measure {
        name: "export",
        title: "getRepo",
        unit: "MB/s",
        less: false,
        bar: Bar::Times(4.0),
        sample: |host, plan, _| export(host, plan),
    },
    Measure {
        name: "export-memory",
        title: "getRepo, growth of resident memory",
        unit: "MB",
        less: true,
        bar: Bar::AtMost(8.0),
        sample: |host, plan, _| export_growth(host, plan),
    },
    Measure {
        name: "replay",
        title: "subscribeRepos from cursor 0",
        unit: "events/s",
        less: false,
        bar: Bar::Times(2.0),
        sample: |host, _, _| replay(host),
    },
    Measure {
        name: "fan-out",
        title: "createRecord before 100 subscribers, to without",
        unit: "times",
        less: true,
        bar: Bar::AtMost(1.5),
        sample: fan_out,
    },
    Measure {
        name: "memory",
        title: "resident memory after it all",
        unit: "MB",
        less: true,
        bar: Bar::Times(3.0),
        sample: |host, _, _| host.resident_mb(),
    },
];

/// What `--only` may name.
pub const NAMES: [&str; MEASURES.len()] = {
    let mut names = [""; MEASURES.len()];
    let mut index = 0;
    while index < names.len() {
        names[index] = MEASURES[index].name;
        index += 1;
    }
    names
};

fn create(host: &mut Host, plan: &Plan, _: usize) -> f64 {
    let mut connection = host.connect();
    let mut took = Vec::new();
    for _ in 0..plan.creates {
        let body = host.create();
        let start = Instant::now();
        let answer = connection.post(CREATE, &body);
        took.push(millis(start.elapsed()));
        host.wrote(answer);
    }
    median(took)
}

fn create_32(host: &mut Host, plan: &Plan, _: usize) -> f64 {
    let each = plan.parallel_creates.div_ceil(CREATORS);
    let mut connections: Vec<_> = (0..CREATORS).map(|_| host.connect()).collect();
    let body = host.create();
    let start = Instant::now();
    let answers: Vec<Vec<u8>> = thread::scope(|scope| {
        let clients: Vec<_> = connections
            .iter_mut()
            .map(|connection| {
                let body = &body;
                scope.spawn(move || {
                    (0..each).map(|_| connection.post(CREATE, body).to_vec()).collect::<Vec<_>>()
                })
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    let took = start.elapsed();
    answers.iter().for_each(|answer| host.wrote(answer));
    per_second(answers.len(), took)
}

fn batch(host: &mut Host, plan: &Plan, _: usize) -> f64 {
    let mut connection = host.connect();
    let mut rates = Vec::new();
    for _ in 0..plan.batches {
        let body = host.batch(BATCH_WRITES);
        let start = Instant::now();
        let answer = connection.post(BATCH, &body);
        rates.push(per_second(BATCH_WRITES, start.elapsed()));
        host.wrote(answer);
    }
    median(rates)
}

fn read_16(host: &mut Host, calls: usize, round: usize, path: fn(&Host, usize) -> String) -> f64 {
    let each = calls.div_ceil(READERS);
    let paths: Vec<Vec<String>> = (0..READERS)
        .map(|reader| (0..each).map(|call| path(host, (round * READERS + reader) * each + call)).collect())
        .collect();
    let mut connections: Vec<_> = (0..READERS).map(|_| host.connect()).collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for (connection, paths) in connections.iter_mut().zip(&paths) {
            scope.spawn(move || {
                for path in paths {
                    let _ = connection.get(path);
                }
            });
        }
    });
    per_second(each * READERS, start.elapsed())
}

/// Megabytes a second.
fn export(host: &mut Host, plan: &Plan) -> f64 {
    let path = host.export_path();
    let mut connection = host.connect();
    let rate = |_| {
        let start = Instant::now();
        let bytes = connection.get(&path).len();
        per_second(bytes, start.elapsed()) / 1e6
    };
    median((0..plan.exports).map(rate))
}

/// By how many megabytes the process's memory was larger while exports were under way than after a first one, at the most.
fn export_growth(host: &mut Host, plan: &Plan) -> f64 {
    let path = host.export_path();
    let mut connection = host.connect();
    let _ = connection.get(&path);
    let (before, under_way, host) = (host.resident_mb(), AtomicBool::new(true), &*host);
    let most = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = before;
            while under_way.load(Ordering::Relaxed) {
                most = most.max(host.resident_mb());
            }
            most
        });
        for _ in 0..plan.exports {
            let _ = connection.get(&path);
        }
        under_way.store(false, Ordering::Relaxed);
        watch.join().unwrap()
    });
    most - before
}

fn fan_out(host: &mut Host, plan: &Plan, round: usize) -> f64 {
    let alone = create(host, plan, round);
    heard(host, plan.subscribers, |host| create(host, plan, round)) / alone
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// Writes of a batch: the most that is allowed.
pub(super) const BATCH_WRITES: usize = 200;

const CREATORS: usize = 32;

const READERS: usize = 16;
