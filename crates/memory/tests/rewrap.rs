//! After a rotation of the agent's keys, all that is kept is under the latest, some rows a run.

use crate::common::{Agent, NOW, record};
use murmuration_data::Ipld;
use murmuration_keyring::Ring;
use murmuration_memory::{Memories, Put, left_to_wrap, wrap_some};
use murmuration_platform::{Param, Store};

#[test]
fn everything_is_wrapped_anew_and_the_old_keys_can_go() {
    let mut alice = Agent::new();
    let (ring, published) = Ring::begin(&crate::common::DID.parse().unwrap(), &alice.random, NOW).unwrap();
    alice.ring = ring;
    let paths: Vec<_> = (0..5).map(|n| alice.remember(&format!("note {n}")).path).collect();
    let value = Ipld::String("value".into());
    let put = Put { key: "k", value: &value, expires_at: None, swap: None };
    alice.memories.put_state(alice.keeper(), put).unwrap();
    let dead = alice.remember("its key is broken").path;
    let sql = "UPDATE memory SET own = zeroblob(108) WHERE rkey = ?1";
    alice.store.query(sql, &[Param::Text(dead.rkey.as_str())]).unwrap();

    let (next, _) = alice.ring.advance(&published, None, &alice.random, NOW).unwrap();
    alice.ring = next;
    let epoch = alice.ring.current().number();
    // What is kept meanwhile is under the new keys already.
    let written_meanwhile = alice.remember("meanwhile").path;
    let mut left = left_to_wrap(&*alice.store, epoch).unwrap();
    assert_eq!(left, 8, "the secret, six memories, one entry");
    let texts = "SELECT text FROM memory ORDER BY rkey";
    let before = alice.store.query(texts, &[]).unwrap();
    while left > 0 {
        let rows = alice.written();
        let done = wrap_some(&*alice.store, alice.ring.did(), epoch, 3, &mut |binding, envelope| {
            alice.ring.rewrap(binding, envelope, &alice.random).ok()
        })
        .unwrap();
        assert_eq!((u64::from(done), alice.written() - rows), (left.min(3), left.min(3)));
        left -= u64::from(done);
        assert_eq!(left_to_wrap(&*alice.store, epoch).unwrap(), left);
    }
    assert_eq!(alice.store.query(texts, &[]).unwrap(), before, "texts stay as they are");

    let old = alice.ring.epochs()[0].number();
    alice.ring = alice.ring.without(old);
    alice.memories = Memories::new(alice.store.clone());
    for (n, path) in paths.iter().enumerate() {
        assert_eq!(alice.summary(path), Some(format!("note {n}")));
    }
    assert_eq!(alice.summary(&written_meanwhile).as_deref(), Some("meanwhile"));
    assert_eq!(alice.memories.state(alice.keeper(), "k").unwrap().value, value);
    alice.create(&alice.fresh(), &record("after")).unwrap();
    assert!(alice.memories.get(alice.keeper(), &dead).is_err());
}
