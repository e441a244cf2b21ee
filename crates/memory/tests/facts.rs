//! Facts: what holds now, what held when, and nothing lost.

use crate::common::{Agent, draft, encode, search};
use murmuration_data::{cbor, json};
use murmuration_memory::{Search, Written};
use murmuration_platform::Store;
use murmuration_syntax::{RepoPath, Tid};
use serde_json::{Value, json as object};

impl Agent {
    fn learn(&self, (subject, predicate, thing): (&str, &str, &str), from: Option<&str>) -> Written {
        self.pass(1_000_000);
        let path = format!("agent.memory.fact/{}", Tid::from_parts(self.now.get(), 1));
        let mut record = object!({ "subject": subject, "predicate": predicate, "object": thing });
        if let Some(from) = from {
            record["validity"] = object!({ "validFrom": from });
        }
        let record = encode(&record);
        self.memories.create(self.keeper(), draft(&RepoPath::parse(&path).unwrap(), &record), None).unwrap()
    }

    fn record(&self, path: &RepoPath) -> Value {
        json::to_value(&cbor::decode(&self.memories.get(self.keeper(), path).unwrap().record).unwrap())
    }

    fn objects(&self, search: &Search<'_>) -> Vec<String> {
        let found = self.memories.search(self.keeper(), search).unwrap();
        let of = |record: &[u8]| {
            json::to_value(&cbor::decode(record).unwrap())["object"].as_str().unwrap().to_owned()
        };
        found.iter().map(|found| of(&found.memory.record)).collect()
    }
}

#[test]
fn a_new_object_takes_the_place_of_the_one_before() {
    let mut alice = Agent::new();
    let first = alice.learn(("Office", "is in", "Berlin"), Some("2020-01-01T00:00:00.000Z"));
    alice.learn(("Office", "has", "a garden"), None);
    alice.wake();
    let before = alice.written();
    let second = alice.learn(("office ", "Is In", "Lisbon"), Some("2022-01-01T00:00:00.000Z"));
    assert!(alice.written() - before <= 8, "{}", alice.written() - before);
    let old = alice.record(&first.path);
    assert_eq!(old["object"], "Berlin");
    assert_eq!(old["validity"]["validFrom"], "2020-01-01T00:00:00.000Z");
    assert_eq!(old["validity"]["validTo"], "2022-01-01T00:00:00.000Z");
    let by = object!({ "uri": format!("at://{}/{}", crate::common::DID, second.path), "cid": second.cid.to_string() });
    assert_eq!(old["validity"]["supersededBy"], by);
    assert!(alice.objects(&search("office is in")).contains(&"Lisbon".to_owned()));
    assert!(!alice.objects(&search("office is in")).contains(&"Berlin".to_owned()));
    let then = Search { as_of: Some(1_600_000_000_000_000), ..search("office is in") };
    assert_eq!(alice.objects(&then), ["Berlin"]);
    assert_eq!(alice.objects(&Search { superseded: true, ..search("office is in") }).len(), 3);
    assert_eq!(alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap().hash);
    // A third ends the second and leaves the first as it is.
    let third = alice.learn(("office", "is in", "Oslo"), None);
    assert_eq!(alice.record(&first.path), old);
    assert_eq!(alice.record(&second.path)["validity"]["supersededBy"]["cid"], third.cid.to_string());
}

#[test]
fn a_fact_that_comes_late_is_history() {
    let alice = Agent::new();
    let now = alice.learn(("office", "is in", "Lisbon"), Some("2022-01-01T00:00:00.000Z"));
    let late = alice.learn(("office", "is in", "Berlin"), Some("2020-01-01T00:00:00.000Z"));
    assert_eq!(alice.record(&late.path)["validity"]["validTo"], "2022-01-01T00:00:00.000Z");
    assert!(alice.record(&now.path)["validity"].get("validTo").is_none());
    assert_eq!(alice.objects(&search("office")), ["Lisbon"]);
    assert_eq!(alice.memories.get(alice.keeper(), &late.path).unwrap().cid, late.cid);
}

#[test]
fn the_same_fact_again_is_the_one_that_is_known() {
    let alice = Agent::new();
    let first = alice.learn(("office", "is in", "Lisbon"), None);
    let before = alice.written();
    let again = alice.learn(("office", "is in", "Lisbon"), None);
    assert!(again.repeated && again.path == first.path);
    assert_eq!((again.cid, alice.written() - before), (first.cid, 0));
}

/// A contradiction is kept whole or not at all, whichever statement fails.
#[test]
fn a_failed_statement_leaves_the_old_fact_standing() {
    let alice = Agent::new();
    alice.learn(("office", "is in", "Lisbon"), Some("2020-01-01T00:00:00.000Z"));
    let path = RepoPath::parse("agent.memory.fact/next").unwrap();
    let record = encode(
        &object!({ "subject": "office", "predicate": "is in", "object": "Oslo", "createdAt": "2026-11-18T05:00:00.000Z" }),
    );
    let mut faults = 0;
    for at in 0..40 {
        alice.memories.forget();
        let before = alice.memories.space(alice.keeper()).unwrap();
        alice.store.fail_after(Some(at));
        let failed = alice.memories.create(alice.keeper(), draft(&path, &record), None).is_err();
        let fired = !alice.store.fault_armed();
        alice.store.fail_after(None);
        assert_eq!(failed, fired, "{at}");
        assert_eq!(alice.hash_of_all(), alice.memories.space(alice.keeper()).unwrap().hash);
        if !fired {
            break;
        }
        faults += 1;
        assert_eq!(alice.memories.space(alice.keeper()).unwrap(), before, "{at}");
        assert_eq!(alice.objects(&search("office")), ["Lisbon"]);
    }
    assert!(faults > 8, "{faults}");
    assert_eq!(alice.objects(&search("office")), ["Oslo"]);
    assert_eq!(alice.store.query("SELECT 1 FROM memory", &[]).unwrap().len(), 2);
}
