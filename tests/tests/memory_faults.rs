//! Memories while hosts die and keys change: shares across two hosts, searches during rotations, and `kill -9` in the middle of changes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER;
use murmuration_data::Cid;
use murmuration_memory::SetHash;
use murmuration_syntax::{RepoPath, Tid};
use murmuration_tests::{Agent, Dice, Setup, World, scaled};
use serde_json::{Value, json};

/// Kills.
const ROUNDS: u64 = 8;
/// Changes that are answered in all the rounds together, on average.
const CHANGES: u64 = 320;
/// Memories of an agent whose keys are changed: more than one look of the alarm brings under the new ones.
const UNDER_OLD_KEYS: u64 = 220;
/// Times that they are changed: one less than a day allows.
const ROTATIONS: u32 = 3;
/// Searches that are answered after each, at least.
const SEARCHES: usize = 10;
/// Within this time the alarm has brought all of them under the new keys: it is due at once.
const REWRAPPED: Duration = Duration::from_secs(60);
/// Two write into one agent's memories.
const WRITERS: usize = 3;

fn note(text: &str) -> Value {
    json!({ "$type": "agent.memory.note", "summary": text, "createdAt": "2026-11-28T05:00:00.000Z" })
}

fn remember(agent: &Agent, text: &str) -> String {
    let made = agent.client.post("agent.memory.createMemory", &json!({ "record": note(text) })).ok().json();
    made["uri"].as_str().unwrap().to_owned()
}

fn update(agent: &Agent, uri: &str, text: &str) {
    let _ = agent.client.post("agent.memory.updateMemory", &json!({ "uri": uri, "record": note(text) })).ok();
}

/// What an agent reads at an address, or the answer that refuses it.
fn read(agent: &Agent, uri: &str) -> Result<String, String> {
    let answer = agent.client.get("agent.memory.getMemory", &[("uri", uri)]);
    match answer.status {
        200 => Ok(answer.json()["record"]["summary"].as_str().unwrap().to_owned()),
        status => Err(format!("{status} {}", answer.text())),
    }
}

fn shares(agent: &Agent, direction: &str) -> usize {
    let listed = agent.client.get("agent.memory.listShares", &[("direction", direction)]).ok().json();
    listed["shares"].as_array().unwrap().len()
}

#[test]
fn a_share_holds_over_deaths_and_rotations_until_it_is_revoked() {
    let mut here = World::start();
    let there = Setup::new().plc_of(&here).start();
    let (alice, carol, bob) =
        (Agent::new(&here, "alice"), Agent::new(&here, "carol"), Agent::new(&there, "bob"));
    bob.allow(&alice);
    let uri = remember(&alice, "one");
    let nothing = read(&bob, &format!("at://{}/agent.memory.note/3jzfcijpj2z2a", alice.did)).unwrap_err();
    assert!(nothing.starts_with("400") && nothing.contains("MemoryNotFound"), "{nothing}");
    for stranger in [&bob, &carol] {
        assert_eq!(read(stranger, &uri), Err(nothing.clone()), "whether or not it is there");
    }

    let before = here.rows_written("agent", &alice.did);
    let body = json!({ "uri": uri, "subjects": [bob.did, carol.did] });
    let shared = alice.client.post("agent.memory.shareMemory", &body).ok().json();
    assert_eq!(shared["shares"].as_array().unwrap().len(), 2);
    let rows = here.rows_written("agent", &alice.did) - before;
    assert!((2..=16).contains(&rows), "{rows} rows for two shares and the messages that tell of them");
    for reader in [&bob, &carol] {
        let told = reader.claim(60);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0]["record"]["content"]["uri"], json!(uri));
        assert!(!told[0].to_string().contains("one\""));
        reader.done(&told);
        assert_eq!(shares(reader, "received"), 1);
        assert_eq!(read(reader, &uri).as_deref(), Ok("one"));
    }
    here.kill_9();
    assert!(read(&bob, &uri).unwrap_err().starts_with("502"), "the author's host is away");
    here.restart();
    assert_eq!(read(&bob, &uri).as_deref(), Ok("one"));
    for agent in [&bob, &alice] {
        let _ = agent.client.post("agent.identity.rotateKeys", &json!({})).ok();
        assert_eq!(read(&bob, &uri).as_deref(), Ok("one"));
    }
    update(&alice, &uri, "two");
    assert_eq!(read(&bob, &uri).as_deref(), Ok("two"));

    let body = json!({ "uri": uri, "subjects": [bob.did] });
    let _ = alice.client.post("agent.memory.revokeShare", &body).ok();
    assert_eq!(read(&bob, &uri), Err(nothing.clone()));
    update(&alice, &uri, "three");
    here.kill_9();
    here.restart();
    assert_eq!(read(&bob, &uri), Err(nothing.clone()));
    assert_eq!(read(&carol, &uri).as_deref(), Ok("three"));
    assert_eq!((shares(&bob, "received"), shares(&carol, "received"), shares(&alice, "granted")), (0, 1, 1));
    let published = json!({ "uri": uri, "confirm": true });
    let _ = alice.client.post("agent.memory.publishMemory", &published).ok();
    assert_eq!(read(&carol, &uri), Err(nothing));
    let rkey = uri.rsplit('/').next().unwrap();
    let query = [("repo", alice.did.as_str()), ("collection", "agent.memory.note"), ("rkey", rkey)];
    let record = here.client().get("com.atproto.repo.getRecord", &query).ok().json();
    assert_eq!(record["value"]["summary"], "three");
}

#[test]
fn searches_find_the_same_while_keys_are_rotated_and_the_object_sleeps() {
    let world = World::start();
    let alice = Agent::new(&world, "alice");
    let texts: Vec<String> = (0..UNDER_OLD_KEYS).map(|n| format!("parcel{n} went to the harbour")).collect();
    for text in &texts {
        let _ = remember(&alice, text);
    }
    let pending = || {
        let stats = alice.client.get("agent.memory.getStats", &[]).ok().json();
        stats["rewrapPending"].as_u64().unwrap()
    };
    let (over, searches) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        let searcher = scope.spawn(|| {
            for (n, text) in texts.iter().enumerate().cycle() {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let query = [("q", format!("parcel{n}")), ("limit", "1".to_owned())];
                let query = query.each_ref().map(|(name, value)| (*name, value.as_str()));
                let found = alice.client.get("agent.memory.searchMemories", &query).ok().json();
                assert_eq!(found["hits"][0]["memory"]["record"]["summary"], json!(text), "{found}");
                let _ = searches.fetch_add(1, Ordering::Relaxed);
            }
        });
        // A failure below must end the searches, too.
        let end = End(&over);
        for round in 0..ROTATIONS {
            let before = searches.load(Ordering::Relaxed);
            let rotated = alice.client.post("agent.identity.rotateKeys", &json!({})).ok().json();
            assert!(rotated["pending"].as_u64().unwrap() >= UNDER_OLD_KEYS, "{rotated}");
            let patience = Instant::now() + REWRAPPED;
            while pending() > 0 || searches.load(Ordering::Relaxed) < before + SEARCHES {
                assert!(Instant::now() < patience, "{} are left under keys of before", pending());
                if round % 2 == 1 {
                    world.evict("agent", &alice.did);
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        drop(end);
        searcher.join().unwrap();
    });
}

/// Says that it is over when it is dropped.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One that changes memories of its own in an agent's, which it may share.
struct Writer {
    name: usize,
    agent: Agent,
    dice: Dice,
    count: u64,
    /// Its memories as they must be.
    memories: BTreeMap<String, String>,
    /// The change that it had asked for when the host died.
    pending: Option<(String, Option<String>)>,
    answered: usize,
}

impl Writer {
    fn write_until_the_end(&mut self, success: &mpsc::Sender<()>) {
        loop {
            let (nsid, body) = self.next();
            let Ok(answer) = self.agent.client.try_post(nsid, &body) else { return };
            let _ = answer.ok();
            match self.pending.take() {
                Some((key, Some(text))) => drop(self.memories.insert(key, text)),
                Some((key, None)) => drop(self.memories.remove(&key)),
                None => {}
            }
            self.answered += 1;
            let _ = success.send(());
        }
    }

    fn next(&mut self) -> (&'static str, Value) {
        self.count += 1;
        let text = format!("{}{}", "x".repeat(usize::try_from(self.dice.roll(250)).unwrap()), self.count);
        let old = self.old();
        match (self.dice.roll(10), old) {
            (0..=2, Some(key)) => {
                let body = json!({ "uri": self.uri(&key), "record": note(&text) });
                self.pending = Some((key, Some(text)));
                ("agent.memory.updateMemory", body)
            }
            (3, Some(key)) => {
                let body = json!({ "uri": self.uri(&key) });
                self.pending = Some((key, None));
                ("agent.memory.deleteMemory", body)
            }
            _ => {
                let name = u64::try_from(self.name).unwrap();
                let key = Tid::from_parts(1_795_000_000_000_000 + self.count * 8 + name, 0).to_string();
                let body = json!({ "rkey": key, "record": note(&text) });
                self.pending = Some((key, Some(text)));
                ("agent.memory.createMemory", body)
            }
        }
    }

    fn uri(&self, key: &str) -> String {
        format!("at://{}/agent.memory.note/{key}", self.agent.did)
    }

    fn old(&mut self) -> Option<String> {
        let count = u64::try_from(self.memories.len()).unwrap();
        let index = usize::try_from(self.dice.roll(count.max(1))).unwrap();
        self.memories.keys().nth(index).cloned()
    }
}

/// All memories of an agent, by record key; and the hash of the set of them, from what they are.
fn all(agent: &Agent) -> (BTreeMap<String, String>, SetHash) {
    let (mut found, mut hash, mut cursor) = (BTreeMap::new(), SetHash::default(), None::<String>);
    loop {
        let mut query = vec![("limit", "100")];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = agent.client.get("agent.memory.listMemories", &query).ok().json();
        for memory in page["memories"].as_array().unwrap() {
            let path = memory["uri"].as_str().unwrap().splitn(4, '/').last().unwrap();
            let path = RepoPath::parse(path).unwrap();
            hash.add(&path, &Cid::try_from(memory["cid"].as_str().unwrap()).unwrap());
            let text = memory["record"]["summary"].as_str().unwrap().to_owned();
            found.insert(path.rkey.to_string(), text);
        }
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return (found, hash);
        }
    }
}

/// What the agent's writers were told of is there; what they had asked for is there whole, or not at all; and the counts, the set hash and
/// the index are those of what is there.
fn check(agent: &Agent, writers: &mut [&mut Writer]) {
    let (found, hash) = all(agent);
    let mut wanted = BTreeMap::new();
    for writer in writers {
        if let Some((key, text)) = writer.pending.take()
            && found.get(&key) == text.as_ref()
        {
            match text {
                Some(text) => drop(writer.memories.insert(key, text)),
                None => drop(writer.memories.remove(&key)),
            }
        }
        wanted.extend(writer.memories.clone());
    }
    assert_eq!(found, wanted, "an acknowledged change is lost, or half of one is there");
    let stats = agent.client.get("agent.memory.getStats", &[]).ok().json();
    assert_eq!((&stats["memories"], &stats["indexed"]), (&json!(found.len()), &json!(found.len())));
    assert_eq!(stats["space"]["hash"], HEXLOWER.encode(&hash.digest()));
}

#[test]
fn nothing_that_was_remembered_is_lost_when_the_host_is_killed() {
    let mut world = Setup::new().plain().start();
    let agents = ["anna", "ben"].map(|name| Agent::new(&world, name));
    let mut writers: Vec<Writer> = (0..WRITERS)
        .map(|name| Writer {
            name,
            agent: agents[name % agents.len()].clone(),
            dice: Dice::new(u64::try_from(name + 1).unwrap()),
            count: 0,
            memories: BTreeMap::new(),
            pending: None,
            answered: 0,
        })
        .collect();
    let mut dice = Dice::new(1_618_033_988);
    let (rounds, changes) = (scaled("SOAK_ROUNDS", ROUNDS), scaled("SOAK_WRITES", CHANGES));
    let (each, mut killed_in) = ((changes / rounds).max(1), 0);
    for _ in 0..rounds {
        let (sender, receiver) = mpsc::channel();
        thread::scope(|scope| {
            for writer in &mut writers {
                let sender = sender.clone();
                scope.spawn(move || writer.write_until_the_end(&sender));
            }
            drop(sender);
            // Anything from a kill at once to twice the average, so that it falls everywhere.
            for _ in 0..=dice.roll(2 * each) {
                receiver.recv().expect("a writer gave up before the host died");
            }
            world.kill_9();
        });
        killed_in += writers.iter().filter(|writer| writer.pending.is_some()).count();
        world.restart();
        for agent in &agents {
            let own = writers.iter_mut().filter(|writer| writer.agent.did == agent.did);
            check(agent, &mut own.collect::<Vec<_>>());
        }
    }
    let answered: usize = writers.iter().map(|writer| writer.answered).sum();
    assert!(killed_in > 0, "no change was on its way when the host was killed");
    println!(
        "{rounds} kills with {killed_in} changes on their way, in {answered} that were answered: nothing lost"
    );
}
