//! A memory is read by whom it is shared with, version after version, and by nobody else.

use crate::common::{Agent, NOW, encode, note, record, summary};
use murmuration_envelope::Recipient;
use murmuration_keyring::{PublishedKeys, Ring};
use murmuration_memory::{MemoryError, limits};
use murmuration_platform::Store;
use murmuration_syntax::{Did, RepoPath};
use serde_json::json;

/// Somebody who reads.
struct Reader {
    ring: Ring,
    published: PublishedKeys,
}

impl Reader {
    fn new(alice: &Agent, name: &str) -> Self {
        let did = format!("did:plc:{name}").parse().unwrap();
        let (ring, published) = Ring::begin(&did, &alice.random, NOW).unwrap();
        Self { ring, published }
    }

    fn did(&self) -> &Did {
        self.ring.did()
    }

    fn to(&self) -> Recipient {
        self.published.recipient(NOW).unwrap()
    }

    fn rotate(&mut self, alice: &Agent) {
        let (ring, published) = self.ring.advance(&self.published, None, &alice.random, NOW).unwrap();
        let old = self.ring.current().number();
        (self.ring, self.published) = (ring.without(old), published);
    }

    /// What it reads, as a host does: looks its keys up when they are wanted.
    fn reads(&self, alice: &Agent, path: &RepoPath) -> Option<String> {
        let wants = self.to().key().id.as_str().to_owned();
        let give = |to| alice.memories.give(alice.keeper(), path, self.did(), &wants, to);
        let given = match give(None) {
            Err(MemoryError::NotFound) => return None,
            Ok(None) => give(Some(&self.to())).unwrap(),
            other => other.unwrap(),
        };
        let (record, cid) = given.unwrap().open(&self.ring, alice.ring.did(), path).unwrap();
        assert_eq!(cid, alice.memories.get(alice.keeper(), path).unwrap().cid);
        Some(summary(&record))
    }
}

#[test]
fn readers_read_each_version_until_their_share_ends() {
    let mut alice = Agent::new();
    let [bob, carol] = ["bob", "carol"].map(|name| Reader::new(&alice, name));
    let path = alice.remember("one").path;
    let other = alice.remember("not shared").path;
    let before = alice.written();
    let new = alice.memories.share(alice.keeper(), &path, &[bob.to(), carol.to()]).unwrap();
    assert_eq!(new, [bob.did().clone(), carol.did().clone()]);
    assert_eq!(alice.written() - before, 2, "a row for each reader");
    assert!(alice.memories.share(alice.keeper(), &path, &[bob.to()]).unwrap().is_empty());
    assert_eq!(alice.written() - before, 2, "none for one who is a reader");
    assert!(alice.memories.get(alice.keeper(), &path).unwrap().shared);
    assert!(!alice.memories.get(alice.keeper(), &other).unwrap().shared);
    let shared = |want| {
        let filter = murmuration_memory::Filter { shared: Some(want), ..Default::default() };
        let page = alice.memories.list(alice.keeper(), &filter, None, 10).unwrap();
        page.memories.into_iter().map(|memory| memory.path).collect::<Vec<_>>()
    };
    assert_eq!((shared(true), shared(false)), (vec![path.clone()], vec![other.clone()]));
    assert_eq!(bob.reads(&alice, &path).as_deref(), Some("one"));
    assert_eq!(alice.written() - before, 2, "to read what is sealed to the reader writes nothing");

    // Of a new version the readers are given the key when they ask: a row, once.
    let before = alice.written();
    alice.update(&path, &record("two"), None).unwrap();
    assert_eq!(alice.written() - before, 5, "as where nobody else reads");
    for reader in [&bob, &carol, &bob] {
        assert_eq!(reader.reads(&alice, &path).as_deref(), Some("two"));
    }
    assert_eq!(alice.written() - before, 7);

    let before = alice.written();
    let cid = alice.memories.revoke(alice.keeper(), &path, &[bob.did().clone()]).unwrap();
    assert_eq!(cid, alice.memories.get(alice.keeper(), &path).unwrap().cid);
    assert_eq!(alice.written() - before, 3, "the reader, the old key, the memory");
    alice.memories.revoke(alice.keeper(), &path, &[bob.did().clone()]).unwrap();
    assert_eq!(alice.written() - before, 3);
    assert_eq!(bob.reads(&alice, &path), None);
    assert_eq!(carol.reads(&alice, &path).as_deref(), Some("two"));
    alice.update(&path, &record("three"), None).unwrap();
    assert_eq!(bob.reads(&alice, &path), None);
    assert_eq!(carol.reads(&alice, &path).as_deref(), Some("three"));
    alice.wake();
    assert_eq!(alice.summary(&path).as_deref(), Some("three"));
    assert_eq!(alice.memories.space(alice.keeper()).unwrap().hash, alice.hash_of_all());
    assert_eq!(carol.reads(&alice, &other), None);

    alice.memories.delete(alice.keeper(), &path, None).unwrap();
    assert_eq!(carol.reads(&alice, &path), None);
    assert_eq!(alice.memories.shares(None, None, 10).unwrap(), []);
    alice.create(&path, &record("another of that name")).unwrap();
    assert_eq!(carol.reads(&alice, &path), None);
}

/// What a reader was given before it was a reader no more does not open what the memory is sealed as since then.
#[test]
fn the_key_that_was_given_opens_nothing_that_is_sealed_after_the_share_has_ended() {
    let alice = Agent::new();
    let [bob, carol] = ["bob", "carol"].map(|name| Reader::new(&alice, name));
    let path = alice.remember("one").path;
    alice.memories.share(alice.keeper(), &path, &[bob.to(), carol.to()]).unwrap();
    let give = |reader: &Reader| {
        let to = reader.to();
        let wants = to.key().id.as_str();
        alice.memories.give(alice.keeper(), &path, reader.did(), wants, Some(&to)).unwrap().unwrap()
    };
    let mut given = give(&bob);
    alice.memories.revoke(alice.keeper(), &path, &[bob.did().clone()]).unwrap();
    let current = give(&carol);
    assert!(given.open(&bob.ring, alice.ring.did(), &path).is_ok(), "what was read stays read");
    given.envelope = current.envelope.clone();
    assert!(given.open(&bob.ring, alice.ring.did(), &path).is_err());
    assert!(current.open(&bob.ring, alice.ring.did(), &path).is_err(), "what is Carol's is Carol's");
    // Nobody else is named in what a reader is given.
    assert_eq!(current.envelope.recipients().count(), 0);
    assert!(!alice.everything().iter().any(|value| value.as_slice() == bob.did().as_str().as_bytes()));
}

#[test]
fn shares_outlive_the_rotations_of_both_sides() {
    let mut alice = Agent::new();
    let (ring, mut published) = Ring::begin(alice.ring.did(), &alice.random, NOW).unwrap();
    alice.ring = ring;
    let mut bob = Reader::new(&alice, "bob");
    let path = alice.remember("one").path;
    alice.memories.share(alice.keeper(), &path, &[bob.to()]).unwrap();
    bob.rotate(&alice);
    let before = alice.written();
    for _ in 0..2 {
        assert_eq!(bob.reads(&alice, &path).as_deref(), Some("one"));
    }
    assert_eq!(alice.written() - before, 1, "sealed anew once for each key of the reader");
    let named = alice.memories.shares(None, None, 10).unwrap();
    assert_eq!(named[0].key_id.as_deref(), Some("did:plc:bob#agent-pq-2"));

    let old = alice.ring.current().number();
    (alice.ring, published) = alice.ring.advance(&published, None, &alice.random, NOW).unwrap();
    assert_eq!(published.current().number(), 2);
    murmuration_memory::wrap_some(&*alice.store, alice.ring.did(), 2, 100, &mut |binding, envelope| {
        alice.ring.rewrap(binding, envelope, &alice.random).ok()
    })
    .unwrap();
    alice.ring = alice.ring.without(old);
    alice.wake();
    let before = alice.written();
    assert_eq!(bob.reads(&alice, &path).as_deref(), Some("one"));
    assert_eq!(alice.written() - before, 0, "the data key is the same");
    alice.memories.revoke(alice.keeper(), &path, &["did:plc:nobody".parse().unwrap()]).unwrap();
    assert_eq!(bob.reads(&alice, &path).as_deref(), Some("one"));
}

#[test]
fn a_memory_has_so_many_readers_and_no_more() {
    let alice = Agent::new();
    let path = alice.remember("one").path;
    let readers: Vec<Recipient> =
        (0..=limits::MAX_READERS).map(|n| Reader::new(&alice, &format!("reader{n:02}")).to()).collect();
    let share = |readers: &[Recipient]| alice.memories.share(alice.keeper(), &path, readers);
    assert_eq!(share(&readers[..40]).unwrap().len(), 40);
    let before = alice.written();
    assert!(matches!(share(&readers[40..]), Err(MemoryError::TooManyReaders)));
    assert!(matches!(
        alice.memories.share(alice.keeper(), &note("3lznm6spegk2z"), &readers[..1]),
        Err(MemoryError::NotFound)
    ));
    assert_eq!(alice.written() - before, 0);
    // Those who are readers do not count twice.
    assert_eq!(share(&readers[..limits::MAX_READERS]).unwrap().len(), limits::MAX_READERS - 40);
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = alice
            .memories
            .shares(None, after.as_ref().map(|(path, did): &(RepoPath, String)| (path, did.as_str())), 7)
            .unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.path.clone(), last.reader.to_string()));
        all.extend(page.into_iter().map(|share| share.reader));
    }
    let mut wanted: Vec<Did> =
        readers[..limits::MAX_READERS].iter().map(|reader| reader.did().clone()).collect();
    wanted.sort();
    assert_eq!(all, wanted);
    assert_eq!(alice.memories.shares(Some(&path), None, 100).unwrap().len(), limits::MAX_READERS);
}

/// A fact that is superseded stays shared as what it has become.
#[test]
fn a_fact_that_ends_is_read_as_one_that_has_ended() {
    let alice = Agent::new();
    let bob = Reader::new(&alice, "bob");
    let fact = |object: &str, at: &str| {
        encode(&json!({ "$type": "agent.memory.fact", "subject": "s", "predicate": "p", "object": object,
            "createdAt": at }))
    };
    let path = |rkey: &str| RepoPath::parse(&format!("agent.memory.fact/{rkey}")).unwrap();
    alice.create(&path("one"), &fact("old", "2026-11-20T05:00:00.000Z")).unwrap();
    alice.memories.share(alice.keeper(), &path("one"), &[bob.to()]).unwrap();
    alice.create(&path("two"), &fact("new", "2026-11-21T05:00:00.000Z")).unwrap();
    let to = bob.to();
    let wants = to.key().id.as_str();
    let given = alice.memories.give(alice.keeper(), &path("one"), bob.did(), wants, Some(&to)).unwrap();
    let (record, _) = given.unwrap().open(&bob.ring, alice.ring.did(), &path("one")).unwrap();
    let record = murmuration_data::json::to_value(&murmuration_data::cbor::decode(&record).unwrap());
    assert_eq!(record["validity"]["validTo"], "2026-11-21T05:00:00.000Z");
    let new = alice.memories.give(alice.keeper(), &path("two"), bob.did(), wants, Some(&to));
    assert!(matches!(new, Err(MemoryError::NotFound)));
}

#[test]
fn what_others_share_is_noted_once_and_forgotten() {
    let bob = Agent::new();
    let [alice, carol] = ["did:plc:alice", "did:plc:carol"].map(|did| did.parse::<Did>().unwrap());
    let paths: Vec<RepoPath> = (0..3).map(|_| bob.fresh()).collect();
    let before = bob.written();
    for path in &paths {
        bob.memories.note_received(&alice, path, NOW).unwrap();
        bob.memories.note_received(&alice, path, NOW + 1).unwrap();
    }
    bob.memories.note_received(&carol, &paths[0], NOW).unwrap();
    assert_eq!(bob.written() - before, 4);
    let first = bob.memories.received(None, 2).unwrap();
    let rest = bob.memories.received(first.last().map(|last| (&last.author, &last.path)), 9).unwrap();
    let names: Vec<_> =
        first.iter().chain(&rest).map(|found| (found.author.clone(), found.path.clone())).collect();
    let wanted = [(&alice, &paths[0]), (&alice, &paths[1]), (&alice, &paths[2]), (&carol, &paths[0])];
    assert_eq!(names, wanted.map(|(author, path)| (author.clone(), path.clone())));
    assert!(first.iter().all(|found| found.noted_at == NOW));
    bob.memories.forget_received(&alice, &paths[1]).unwrap();
    assert_eq!(bob.memories.received(None, 9).unwrap().len(), 3);
    let many = limits::MAX_RECEIVED;
    let sql = format!(
        "WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {many}) \
         INSERT INTO memory_received SELECT 'did:plc:mallory', 'agent.memory.note', 'n' || n, 0 FROM n"
    );
    bob.store.query(&sql, &[]).unwrap();
    let before = bob.written();
    bob.memories.note_received(&alice, &paths[1], NOW).unwrap();
    assert_eq!(bob.written() - before, 0, "a stranger fills no storage");
}
