//! Rows are the bill: what a write costs, from the storage's own counters, at every size of repository.

use murmuration_tests::{Account, Client, World};
use serde_json::{Value, json};

/// Rows that a createRecord may write in its agent's object on average, pruning of the log included.
const AGENT_ROWS: f64 = 4.0;
/// Rows that it may write in the relay's: one, and the share of a new partition of its log.
const RELAY_ROWS: f64 = 1.05;
/// Rows that waking an object may read.
const WAKING_ROWS: u64 = 20;
/// Writes that an average is taken over: several times the turns between two checkpoints.
const SAMPLE: u32 = 120;
/// Writes in a row after each of which an object is woken: more than the ring is long, twice.
const WAKINGS: u32 = 26;
/// Creates that arrive one by one, and then together from so many clients.
const TOGETHER: u32 = 96;
const WRITERS: u32 = 16;
/// Sizes at which the cost is taken.
const SIZES: [u32; 4] = [10, 1_000, 10_000, 100_000];
/// Writes of one batch (`com.atproto.repo.applyWrites`).
const BATCH: u32 = 200;

#[derive(Clone, Copy, Debug)]
struct Rows {
    read: u64,
    written: u64,
    statements: u64,
}

impl Rows {
    fn of(world: &World, object: &str, name: &str) -> Self {
        let counts = world.client().path(&format!("/test/rows?object={object}&name={name}")).ok().json();
        let count = |name: &str| counts[name].as_u64().unwrap();
        Self { read: count("read"), written: count("written"), statements: count("statements") }
    }

    fn since(self, before: Self) -> Self {
        Self {
            read: self.read - before.read,
            written: self.written - before.written,
            statements: self.statements - before.statements,
        }
    }
}

fn post(text: &str) -> Value {
    json!({ "$type": "app.bsky.feed.post", "text": text, "createdAt": "2026-11-23T04:00:00.000Z" })
}

fn create(client: &Client, did: &str, record: &Value) {
    let body = json!({ "repo": did, "collection": "app.bsky.feed.post", "record": record });
    let _ = client.post("com.atproto.repo.createRecord", &body).ok();
}

/// Fills the repository up to `size` records, with record keys that are made as clients make them.
fn grow(client: &Client, did: &str, have: &mut u32, size: u32) {
    while *have < size {
        let count = BATCH.min(size - *have);
        let write = |n| {
            json!({
                "$type": "com.atproto.repo.applyWrites#create",
                "collection": "app.bsky.feed.post",
                "value": post(&format!("record {n}")),
            })
        };
        let writes: Vec<Value> = (*have..*have + count).map(write).collect();
        let _ = client.post("com.atproto.repo.applyWrites", &json!({ "repo": did, "writes": writes })).ok();
        *have += count;
    }
}

/// Rows that a write costs on average, in the agent's object and in the relay's.
fn average(world: &World, account: &Account, write: &mut dyn FnMut(u32)) -> (f64, f64) {
    let count = || (Rows::of(world, "agent", &account.did), Rows::of(world, "relay", "host"));
    let before = count();
    (0..SAMPLE).for_each(write);
    let after = count();
    let each = |rows: Rows| f64::from(u32::try_from(rows.written).unwrap()) / f64::from(SAMPLE);
    (each(after.0.since(before.0)), each(after.1.since(before.1)))
}

/// Creates a record whose key falls anywhere: the worst case, each in another page.
fn scattered(client: &Client, did: &str, seed: u32, n: u32) {
    let rkey = format!("{:08x}", n.wrapping_mul(0x9e37_79b9) ^ seed.wrapping_mul(0x85eb_ca6b));
    let body = json!({
        "repo": did,
        "collection": "com.example.note",
        "rkey": rkey,
        "record": { "$type": "com.example.note", "n": n },
    });
    let _ = client.post("com.atproto.repo.createRecord", &body).ok();
}

/// The fewest and the most rows that waking reads, after each of [`WAKINGS`] writes in a row: at every place of the ring,
/// and with every count of pages that wait for a checkpoint. Twice from each place, as the alarm may come in between and read.
fn waking(world: &World, account: &Account, write: &mut dyn FnMut(u32)) -> (u64, u64) {
    let reads: Vec<u64> = (0..WAKINGS)
        .map(|n| {
            write(n);
            let wake = || {
                world.evict("agent", &account.did);
                let _ = world.client().get("com.atproto.sync.getLatestCommit", &[("did", &account.did)]).ok();
                Rows::of(world, "agent", &account.did).read
            };
            wake().min(wake())
        })
        .collect();
    (*reads.iter().min().unwrap(), *reads.iter().max().unwrap())
}

/// Writes that arrive together share a turn: a busy account flushes once for many.
#[test]
fn requests_that_arrive_together_are_one_turn() {
    let world = World::start();
    let account = world.account("rows");
    let client = world.client().with_token(&account.access);
    let rows = || Rows::of(&world, "agent", &account.did);
    let before = rows();
    (0..TOGETHER).for_each(|n| create(&client, &account.did, &post(&format!("alone {n}"))));
    let alone = rows().since(before).written;
    let before = rows();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (client, did) = (&client, &account.did);
            scope.spawn(move || {
                for n in 0..TOGETHER / WRITERS {
                    create(client, did, &post(&format!("together {writer} {n}")));
                }
            });
        }
    });
    let together = rows().since(before).written;
    println!("{TOGETHER} creates: {alone} rows one by one, {together} rows from {WRITERS} writers at once");
    // One by one a create is its record and its turn, two rows; together the turns must fall by half at least.
    assert!(alone >= u64::from(2 * TOGETHER), "{alone} rows");
    assert!(together <= u64::from(TOGETHER + TOGETHER / 2 + TOGETHER / 4), "{together} rows");
}

#[test]
fn a_create_costs_the_same_at_every_size() {
    let world = World::start();
    let account = world.account("rows");
    let client = world.client().with_token(&account.access);
    let mut have = 0;
    let mut costs = Vec::new();
    for size in SIZES {
        grow(&client, &account.did, &mut have, size);
        let in_order =
            average(&world, &account, &mut |n| create(&client, &account.did, &post(&format!("{size}-{n}"))));
        // Keys in no order are the worst case: each falls into another page.
        let in_no_order = average(&world, &account, &mut |n| scattered(&client, &account.did, size, n));
        have += 2 * SAMPLE;
        println!(
            "{size:>7} records: {:.2} rows a create in order, {:.2} in no order, in the agent's object; {:.2} in the relay's",
            in_order.0, in_no_order.0, in_order.1
        );
        for (agent, relay) in [in_order, in_no_order] {
            assert!(agent <= AGENT_ROWS, "{agent} rows in the agent's object at {size} records");
            assert!(relay <= RELAY_ROWS, "{relay} rows in the relay's object at {size} records");
        }
        costs.push(in_order.0);

        let (least, most) = waking(&world, &account, &mut |n| scattered(&client, &account.did, size ^ 1, n));
        have += WAKINGS;
        println!("{size:>7} records: waking reads {least} to {most} rows");
        assert!(most <= WAKING_ROWS, "waking reads {most} rows at {size} records");
    }
    // Within the share of one more page a checkpoint.
    assert!(
        costs.iter().all(|cost| (cost - costs[0]).abs() < 0.5),
        "the cost grows with the repository: {costs:?}"
    );
}

#[test]
fn a_put_that_changes_nothing_costs_nothing_and_a_listing_is_one_statement() {
    let world = World::start();
    let account = world.account("rows");
    let client = world.client().with_token(&account.access);
    let record = json!({ "$type": "com.example.note", "n": 1 });
    let body =
        json!({ "repo": account.did, "collection": "com.example.note", "rkey": "a", "record": record });
    let first = client.post("com.atproto.repo.putRecord", &body).ok().json();
    assert!(first["commit"].is_object());
    (0..30).for_each(|n| create(&client, &account.did, &post(&format!("{n}"))));

    let before = Rows::of(&world, "agent", &account.did);
    let again = client.post("com.atproto.repo.putRecord", &body).ok().json();
    let cost = Rows::of(&world, "agent", &account.did).since(before);
    assert!(again["commit"].is_null() && again["cid"] == first["cid"]);
    assert_eq!(cost.written, 0);

    let before = Rows::of(&world, "agent", &account.did);
    let parameters = [("repo", account.did.as_str()), ("collection", "app.bsky.feed.post"), ("limit", "20")];
    let page = client.get("com.atproto.repo.listRecords", &parameters).ok().json();
    let cost = Rows::of(&world, "agent", &account.did).since(before);
    assert_eq!(page["records"].as_array().unwrap().len(), 20);
    assert_eq!((cost.statements, cost.written), (1, 0));
    assert!(cost.read <= 22, "{} rows read", cost.read);
}
