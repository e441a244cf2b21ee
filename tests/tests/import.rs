//! A repository comes back from a backup: through the Worker, in one turn, within bounds.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_data::cid_of_cbor;
use murmuration_repo::import;
use murmuration_syntax::Did;
use murmuration_tests::{Account, Client, Setup, World, scaled};
use serde_json::{Value, json};

/// Records of the repository that is imported.
const RECORDS: u32 = 10_000;
/// Writes of one batch (`com.atproto.repo.applyWrites`).
const BATCH: u32 = 200;
/// Records of the one that the host is killed over.
const KILLED_RECORDS: u32 = 3_000;
const CAR: &str = "application/vnd.ipld.car";
const IMPORT: &str = "com.atproto.repo.importRepo";

fn fill(client: &Client, account: &Account, count: u32) {
    for first in (0..count).step_by(usize::try_from(BATCH).unwrap()) {
        let write = |n| {
            let value = json!({ "$type": "com.example.note", "text": format!("note {n}, of about the length of a post") });
            json!({
                "$type": "com.atproto.repo.applyWrites#create",
                "collection": "com.example.note",
                "value": value,
            })
        };
        let writes: Vec<Value> = (first..count.min(first + BATCH)).map(write).collect();
        let body = json!({ "repo": account.did, "writes": writes });
        let _ = client.post("com.atproto.repo.applyWrites", &body).ok();
    }
}

fn car(world: &World, account: &Account) -> Vec<u8> {
    world.client().get("com.atproto.sync.getRepo", &[("did", &account.did)]).ok().body
}

fn rows_written(world: &World, account: &Account) -> u64 {
    let path = format!("/test/rows?object=agent&name={}", account.did);
    world.client().path(&path).ok().json()["written"].as_u64().unwrap()
}

#[test]
fn ten_thousand_records_come_back_in_one_turn() {
    let world = World::start();
    let account = world.account("alice");
    let client = world.client().with_token(&account.access);
    fill(&client, &account, RECORDS);
    let backup = car(&world, &account);
    let other = world.account("bob");
    let bob = world.client().with_token(&other.access);

    let refused = bob.post_bytes(IMPORT, CAR, &backup);
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("InvalidRequest")));
    let refused = client.post_bytes(IMPORT, CAR, &backup[..backup.len() - 1]);
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("InvalidRequest")));
    let refused = client.post_bytes(IMPORT, "application/json", b"{}");
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("InvalidRequest")));
    assert_eq!(world.client().post_bytes(IMPORT, CAR, &backup).status, 401);
    assert_eq!(car(&world, &account), backup);

    // Everything goes, and comes back.
    let writes: Vec<Value> = {
        let page = [("repo", account.did.as_str()), ("collection", "com.example.note"), ("limit", "100")];
        let page = client.get("com.atproto.repo.listRecords", &page).ok().json();
        let delete = |record: &Value| {
            let rkey = record["uri"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
            json!({ "$type": "com.atproto.repo.applyWrites#delete", "collection": "com.example.note", "rkey": rkey })
        };
        page["records"].as_array().unwrap().iter().map(delete).collect()
    };
    let _ =
        client.post("com.atproto.repo.applyWrites", &json!({ "repo": account.did, "writes": writes })).ok();
    let note = json!({ "$type": "com.example.other", "text": "after the backup" });
    let body = json!({ "repo": account.did, "collection": "com.example.other", "rkey": "a", "record": note });
    let mut stream = world.subscribe(None);
    let _ = client.post("com.atproto.repo.createRecord", &body).ok();
    // The deletions may come before it.
    while !stream.frame().unwrap().bytes.windows(13).any(|part| part == b"example.other") {}

    let before = rows_written(&world, &account);
    let started = Instant::now();
    let _ = client.post_bytes(IMPORT, CAR, &backup).ok();
    println!(
        "{RECORDS} records, {} bytes, came back in {:?}, {} rows",
        backup.len(),
        started.elapsed(),
        rows_written(&world, &account) - before
    );
    assert_eq!(stream.frame().unwrap().kind(), "#sync");
    let did = Did::parse(&account.did).unwrap();
    world.evict("agent", &account.did);
    let now = car(&world, &account);
    let signer = signer(&world, &account);
    let (then, now) = (import(&backup, &did, &signer).unwrap(), import(&now, &did, &signer).unwrap());
    assert!(now.commit.rev > then.commit.rev);
    assert_eq!(now.records, then.records);
    assert_eq!(now.records.len(), usize::try_from(RECORDS).unwrap());
}

fn signer(world: &World, account: &Account) -> murmuration_keys::VerifyingKey {
    let data = Client::new(world.plc_url()).path(&format!("/{}/data", account.did)).ok().json();
    let key = data["verificationMethods"]["atproto"].as_str().unwrap();
    murmuration_keys::VerifyingKey::from_did_key(key).unwrap()
}

#[test]
fn an_import_that_is_too_large_or_not_wanted_is_refused_and_read_to_its_end() {
    let world = Setup::new().variable("IMPORT_LIMIT_BYTES", "100000").start();
    let account = world.account("alice");
    let client = world.client().with_token(&account.access);
    let large = client.post_bytes(IMPORT, CAR, &vec![0; 10_000_000]);
    assert_eq!((large.status, large.json()["error"].as_str()), (413, Some("PayloadTooLarge")));
    drop(world);

    let world = Setup::new().variable("ACCEPTING_IMPORTS", "false").start();
    let account = world.account("alice");
    let client = world.client().with_token(&account.access);
    let refused = client.post_bytes(IMPORT, CAR, b"whatever");
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("InvalidRequest")));
    assert_eq!(refused.json()["message"], "Service is not accepting repo imports");
}

/// Bytes of a CAR of which one fits into an isolate (80 MiB for all of them) and two do not.
const LARGE: usize = 48 * 1024 * 1024;
/// How long the end of a connection may take to be noticed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A CAR with blocks behind it that nothing refers to, until it is large.
fn padded(mut car: Vec<u8>) -> Vec<u8> {
    let block = vec![7; 1 << 20];
    let cid = cid_of_cbor(&block).to_bytes();
    while car.len() < LARGE {
        let mut length = cid.len() + block.len();
        while length >= 128 {
            car.push(u8::try_from(length % 128).unwrap() | 128);
            length /= 128;
        }
        car.push(u8::try_from(length).unwrap());
        car.extend_from_slice(&cid);
        car.extend_from_slice(&block);
    }
    car
}

/// An import that has sent all but the last byte, and keeps what it sent.
fn all_but_the_last_byte(world: &World, account: &Account, car: &[u8]) -> TcpStream {
    let mut connection = TcpStream::connect(world.address()).unwrap();
    let head = format!(
        "POST /xrpc/{IMPORT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: {CAR}\r\n\
         content-length: {}\r\n\r\n",
        account.access,
        car.len() + 1
    );
    connection.write_all(head.as_bytes()).unwrap();
    connection.write_all(car).unwrap();
    connection
}

#[test]
fn an_import_that_finds_no_room_beside_another_is_told_when_to_come_back_and_leaves_nothing() {
    let world = World::start();
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let large = padded(car(&world, &bob));
    let first = all_but_the_last_byte(&world, &alice, &large);

    let client = world.client().with_token(&bob.access);
    let before = (car(&world, &bob), rows_written(&world, &bob));
    let busy = client.post_bytes(IMPORT, CAR, &large);
    assert_eq!((busy.status, busy.json()["error"].as_str()), (503, Some("NotEnoughResources")));
    assert_eq!(busy.header("retry-after"), Some("60"));
    assert_eq!((car(&world, &bob), rows_written(&world, &bob)), before);
    // What is small finds room even now.
    let _ = client.post_bytes(IMPORT, CAR, &before.0).ok();

    // The room that the two had is free again: the refused one holds none of it, nor does the one that went away.
    drop(first);
    let end = Instant::now() + PATIENCE;
    loop {
        let answer = client.post_bytes(IMPORT, CAR, &large);
        if answer.status != 503 {
            let _ = answer.ok();
            break;
        }
        assert!(Instant::now() < end, "the room is still taken");
        thread::sleep(Duration::from_millis(200));
    }
    let _ = client.post_bytes(IMPORT, CAR, &large).ok();
}

/// An upload that breaks off, of a length that is promised or in chunks.
fn half_a_blob(world: &World, account: &Account, promised: bool) -> TcpStream {
    let mut connection = TcpStream::connect(world.address()).unwrap();
    let length = if promised { "content-length: 10" } else { "transfer-encoding: chunked" };
    let body = if promised { "half" } else { "4\r\nhalf\r\n" };
    let request = format!(
        "POST /xrpc/com.atproto.repo.uploadBlob HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: text/plain\r\n{length}\r\n\r\n{body}",
        account.access
    );
    connection.write_all(request.as_bytes()).unwrap();
    connection
}

#[test]
fn an_import_whose_client_stops_sending_gives_up_its_room_and_so_does_an_upload() {
    let world = World::start();
    let (alice, bob) = (world.account("alice"), world.account("bob"));
    let before = car(&world, &alice);
    let large = padded(before.clone());
    let begun = Instant::now();
    let slow = [
        all_but_the_last_byte(&world, &alice, &large),
        half_a_blob(&world, &alice, true),
        half_a_blob(&world, &alice, false),
    ];
    for mut slow in slow {
        slow.set_read_timeout(Some(PATIENCE * 3)).unwrap();
        let mut answer = [0; 12];
        slow.read_exact(&mut answer).unwrap();
        assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 408");
        assert!(begun.elapsed() > Duration::from_secs(25), "{:?}", begun.elapsed());
    }
    let blobs = std::fs::read_dir(world.folder().join("blobs"));
    assert_eq!(blobs.into_iter().flatten().count(), 0, "nothing is left of what did not come");
    assert_eq!(car(&world, &alice), before);
    let large = padded(car(&world, &bob));
    let _ = world.client().with_token(&bob.access).post_bytes(IMPORT, CAR, &large).ok();
}

/// Imports in which the host is killed.
const KILLS: u64 = 8;
/// Moments of an import at which it is, the first at its beginning.
const MOMENTS: u32 = 8;

#[test]
fn an_import_in_which_the_host_is_killed_has_happened_or_not() {
    let mut world = World::start();
    let alice = world.account("alice");
    let client = world.client().with_token(&alice.access);
    let did = Did::parse(&alice.did).unwrap();
    let signer = signer(&world, &alice);
    let records = |car: &[u8]| import(car, &did, &signer).unwrap().records;
    let few = car(&world, &alice);
    fill(&client, &alice, KILLED_RECORDS);
    let many = car(&world, &alice);
    let begun = Instant::now();
    let _ = client.post_bytes(IMPORT, CAR, &few).ok();
    let _ = client.post_bytes(IMPORT, CAR, &many).ok();
    // That of many takes nearly all of it.
    let takes = begun.elapsed();

    let (mut here, mut there, mut outcomes) = (&many, &few, [0; 3]);
    let kills = scaled("SOAK_ROUNDS", KILLS);
    for turn in (0..MOMENTS).cycle().take(usize::try_from(kills).unwrap()) {
        let client = world.client().with_token(&alice.access);
        let answer = thread::scope(|scope| {
            let asked = scope.spawn(|| {
                client.send("POST", &format!("/xrpc/{IMPORT}"), &[("content-type", CAR)], there.clone())
            });
            // A host that has just begun takes about twice as long.
            thread::sleep(2 * takes * turn / MOMENTS);
            world.kill_9();
            asked.join().unwrap()
        });
        world.restart();
        let held = records(&car(&world, &alice));
        let done = held == records(there);
        assert!(done || held == records(here), "half an import: {} records", held.len());
        match answer {
            Ok(answer) => {
                let _ = answer.ok();
                assert!(done, "an import that was answered is lost");
                outcomes[0] += 1;
            }
            Err(_) if done => outcomes[1] += 1,
            Err(_) => outcomes[2] += 1,
        }
        if done {
            (here, there) = (there, here);
        }
    }
    println!("an import takes {takes:?}; answered, done without an answer, not done: {outcomes:?}");
    assert!(outcomes[1] + outcomes[2] > 0, "no kill has come in time");
    // What is there can be written to, and the stream has told of each import that has happened, once.
    let client = world.client().with_token(&alice.access);
    fill(&client, &alice, 1);
    // The first is that of the empty repository.
    let commits = 1 + KILLED_RECORDS.div_ceil(BATCH) + 1;
    let (mut stream, mut seen, mut syncs) = (world.subscribe(Some(0)), 0, 0);
    while seen < commits {
        match stream.frame().unwrap().kind() {
            "#commit" => seen += 1,
            "#sync" => syncs += 1,
            _ => {}
        }
    }
    assert_eq!(syncs, 1 + 2 + outcomes[0] + outcomes[1]);
}
