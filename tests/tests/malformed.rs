//! Ten thousand requests that fit no lexicon, over every method of the table, and what has crashed others: each is
//! refused in JSON, at once, and nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use murmuration_tests::malformed::{Case, GENERAL_ERRORS, Generator, Victim, crashers};
use murmuration_tests::{Received, Wire, World, scaled};
use murmuration_xrpc::method::Place;
use murmuration_xrpc::table;
use serde_json::{Value, json};

/// Generated requests, unless `MALFORMED_REQUESTS` says how many.
const REQUESTS: u64 = 10_000;
/// Connections at once.
const CONNECTIONS: usize = 4;
/// A request that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long an answer is waited for at all.
const BUSY: Duration = Duration::from_secs(20);
/// Requests that may take longer once, and not when they are sent again.
const MAX_LATE: usize = 25;
/// Faults that are shown.
const SHOWN: usize = 40;

#[test]
fn regress_cirrus_ten_thousand_malformed_requests_are_refused_and_write_nothing() {
    let world = World::start();
    let victim = victim(&world);
    let count = usize::try_from(scaled("MALFORMED_REQUESTS", REQUESTS)).unwrap();
    let seed = scaled("MALFORMED_SEED", 20_261_127);
    let mut cases = crashers(&victim);
    let known = cases.len();
    cases.extend(Generator::new(seed, victim.clone()).cases(count));

    let before = Written::of(&world, &victim);
    let (next, late, faults) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let statuses = Mutex::new(BTreeMap::<u16, usize>::new());
    let (start, address) = (Instant::now(), world.address());
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut wire = Wire::new(&address, BUSY);
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (mut outcome, mut took) = timed(&mut wire, case);
                    if took > PATIENCE {
                        // A machine that does other things as well is no fault of the host's; a host that often is late has one.
                        late.fetch_add(1, Ordering::Relaxed);
                        (outcome, took) = timed(&mut wire, case);
                    }
                    if let Ok(received) = &outcome {
                        *statuses.lock().unwrap().entry(received.status).or_default() += 1;
                    }
                    if let Err(fault) = judge(case, outcome, took) {
                        faults.lock().unwrap().push(format!("{}: {fault}", case.name));
                    }
                }
            });
        }
    });
    println!(
        "{known} known crashers and {count} generated requests in {:.1} s: {:?}",
        start.elapsed().as_secs_f64(),
        statuses.lock().unwrap()
    );
    let late = late.into_inner();
    assert!(late <= MAX_LATE, "{late} requests took longer than {PATIENCE:?} once");
    // One of each kind is enough to read.
    let mut faults = faults.into_inner().unwrap();
    let kind =
        |fault: &String| fault.rsplit_once(": ").map_or_else(String::new, |(_, answer)| answer.to_owned());
    let all = faults.len();
    let mut seen = BTreeSet::new();
    faults.retain(|fault| seen.insert(kind(fault)));
    assert!(faults.is_empty(), "{all} faults, such as:\n{}", faults[..faults.len().min(SHOWN)].join("\n"));
    Written::of(&world, &victim).is_still(&before);
    assert!(!world.log().contains("panicked"));
}

fn timed(wire: &mut Wire, case: &Case) -> (Result<Received, String>, Duration) {
    let begun = Instant::now();
    let outcome = wire.send(&case.sent);
    (outcome, begun.elapsed())
}

fn judge(case: &Case, outcome: Result<Received, String>, took: Duration) -> Result<(), String> {
    let answer = match outcome {
        // A runtime that refuses a request unread may close the connection.
        Err(_) if case.by_runtime => return Ok(()),
        other => other?,
    };
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let shown = format!("{} {text:.300}", answer.status);
    if took > PATIENCE {
        return Err(format!("took {took:?}: {shown}"));
    }
    if case.by_runtime && (400..500).contains(&answer.status) {
        return Ok(());
    }
    match answer.status {
        // Of what is served nobody is told that it is not, but of what another service would answer.
        501 if is_absent(&case.sent.path) => {}
        500.. => return Err(shown),
        400.. => {}
        _ if case.refused => return Err(format!("was accepted: {shown}")),
        _ => return Ok(()),
    }
    // What is said to one caller is for no other.
    let authorized = case.sent.headers.iter().any(|(name, _)| name == "authorization");
    let held = |name: &str, value: &str| answer.header(name).is_some_and(|found| found == value);
    if authorized && !(held("cache-control", "private") && held("vary", "Authorization")) {
        return Err(format!("for any cache: {shown}"));
    }
    if case.sent.verb == "HEAD" {
        return Ok(());
    }
    let body: Value = serde_json::from_slice(&answer.body).map_err(|_| format!("no JSON: {shown}"))?;
    let (Some(name), Some(message)) = (body["error"].as_str(), body["message"].as_str()) else {
        return Err(format!("no error and message: {shown}"));
    };
    let kind = answer.header("content-type").unwrap_or_default();
    if !kind.starts_with("application/json") || message.is_empty() {
        return Err(format!("as {kind}: {shown}"));
    }
    if !GENERAL_ERRORS.contains(&name) && !case.errors.iter().any(|known| known == name) && !case.written_out
    {
        return Err(format!("a name that no lexicon has: {shown}"));
    }
    Ok(())
}

/// Whether there is no such method here, or one that is passed on to a service that this host has not.
fn is_absent(path: &str) -> bool {
    let nsid = path.strip_prefix("/xrpc/").unwrap_or_default().split('?').next().unwrap_or_default();
    table::find(nsid).is_none_or(|method| matches!(method.place, Place::Proxy(_)))
}

/// What must be the same afterwards.
struct Written {
    rows: [u64; 2],
    answers: [Value; 2],
    /// Of each database of the directory what its tables hold.
    directory: BTreeMap<String, Vec<String>>,
    files: usize,
}

impl Written {
    fn of(world: &World, victim: &Victim) -> Self {
        let mut directory = BTreeMap::new();
        let mut files = 0;
        visit(&world.folder(), &mut |path| {
            let name = path.display().to_string();
            if name.ends_with(".sqlite") && name.contains("/d1/") {
                directory.insert(name, held(path));
            } else if !name.contains(".sqlite") && (name.contains("/blobs/") || name.contains("/outbox/")) {
                files += 1;
            }
        });
        let client = world.client();
        Self {
            rows: [("agent", victim.did.as_str()), ("relay", "host")]
                .map(|(object, name)| world.rows_written(object, name)),
            answers: [
                client.get("com.atproto.sync.listRepos", &[]).ok().json(),
                client.get("com.atproto.sync.getLatestCommit", &[("did", &victim.did)]).ok().json(),
            ],
            directory,
            files,
        }
    }

    fn is_still(&self, before: &Self) {
        assert_eq!(self.rows, before.rows, "rows of the agent and of the relay");
        assert_eq!(self.answers, before.answers);
        assert_eq!(self.files, before.files, "blobs and mails");
        assert!(self.directory.values().any(|rows| !rows.is_empty()), "the directory is read");
        for (database, rows) in &self.directory {
            let before = &before.directory[database];
            let new: Vec<_> = rows.iter().filter(|row| !before.contains(row)).take(SHOWN).collect();
            assert!(rows == before, "{} rows, then {}; new: {new:?}", before.len(), rows.len());
        }
    }
}

/// The rows of a database, written out. Its files are copied, for the runtime has it open; and their bytes say less, as those
/// change with a checkpoint.
fn held(path: &Path) -> Vec<String> {
    let copy = std::env::temp_dir().join(format!("murmuration-malformed-{}.sqlite", std::process::id()));
    std::fs::copy(path, &copy).unwrap();
    let (wal, copied_wal) = (path.with_extension("sqlite-wal"), copy.with_extension("sqlite-wal"));
    if wal.exists() {
        std::fs::copy(wal, copied_wal).unwrap();
    }
    let database = rusqlite::Connection::open(&copy).unwrap();
    let all = |sql: &str, row: fn(&rusqlite::Row<'_>) -> rusqlite::Result<String>| -> Vec<String> {
        database.prepare(sql).unwrap().query_map([], row).unwrap().map(Result::unwrap).collect()
    };
    // What a virtual table holds lies in ordinary ones.
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'";
    let mut rows = Vec::new();
    for table in all(tables, |row| row.get(0)) {
        let values = |row: &rusqlite::Row<'_>| {
            let count = row.as_ref().column_count();
            (0..count).map(|at| Ok(format!("{:?} ", row.get_ref(at)?))).collect()
        };
        rows.extend(
            all(&format!("SELECT * FROM \"{table}\""), values)
                .into_iter()
                .map(|row| format!("{table}: {row}")),
        );
    }
    // The last to close it takes its journal along.
    drop(database);
    std::fs::remove_file(copy).unwrap();
    rows
}

fn visit(folder: &Path, file: &mut dyn FnMut(&Path)) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { visit(&path, file) } else { file(&path) }
    }
}

fn victim(world: &World) -> Victim {
    let account = world.account("victim");
    let client = world.client().with_token(&account.access);
    for n in 0..30 {
        let record = json!({ "$type": "com.example.note", "n": n });
        let body = json!({ "repo": account.did, "collection": "com.example.note", "record": record });
        let _ = client.post("com.atproto.repo.createRecord", &body).ok();
    }
    let head = client.get("com.atproto.sync.getLatestCommit", &[("did", &account.did)]).ok().json();
    Victim {
        did: account.did,
        handle: account.handle,
        access: account.access,
        refresh: account.refresh,
        admin: world.admin_password().to_owned(),
        commit: head["cid"].as_str().unwrap().to_owned(),
    }
}
