//! Laws of the repository, over worlds out of seeds.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use murmuration_data::Cid;
use murmuration_repo::{
    Action, Change, Commit, Edit, Import, Key, Node, Nodes, Overlay, Partial, RepoError, Step, Walk, car,
    covering_proof, empty_root, import, invert, proof, verify_proof,
};

use crate::common::{Dice, Repo, World, car_of, did, key, mined, record, records, signing_key};

fn some_records(count: u64) -> BTreeMap<Key, Cid> {
    let mut all: BTreeMap<Key, Cid> =
        (0..count).map(|number| (key(&format!("com.example.a/{number:05}")), record(number))).collect();
    all.extend(mined(5, 4).into_iter().map(|key| (key, record(1))));
    all
}

#[test]
fn the_order_of_insertion_does_not_matter() {
    let all = some_records(200);
    let root = World::of(&all).root;
    for seed in 0..30 {
        let mut shuffled: Vec<_> = all.iter().collect();
        Dice::new(seed).shuffle(&mut shuffled);
        let mut one_by_one = World::empty();
        for (key, cid) in &shuffled {
            let change = one_by_one.edit(|edit| assert_eq!(edit.put(*key, **cid).unwrap(), None));
            one_by_one.apply(&change);
        }
        assert_eq!(one_by_one.root, root);
        assert_eq!(World::of(shuffled).root, root);
        // What is taken out again leaves nothing behind, not even nodes.
        for key in all.keys().rev() {
            let change = one_by_one.edit(|edit| assert!(edit.delete(key).unwrap().is_some()));
            one_by_one.apply(&change);
        }
        assert_eq!(one_by_one.root, empty_root());
        assert_eq!(one_by_one.nodes.len(), 1);
    }
}

#[test]
fn a_batch_comes_to_at_most_one_operation_a_path() {
    let all = some_records(50);
    let world = World::of(&all);
    let (old, new) = (key("com.example.a/00007"), key("com.example.a/x"));
    let ops = |edits: &dyn Fn(&mut Edit<'_>)| {
        let change = world.edit(|edit| edits(edit));
        if change.ops.is_empty() {
            assert!(change.is_empty() && change.created.is_empty() && change.removed.is_empty());
        }
        change.ops.into_iter().map(|op| (op.action, op.prev, op.cid)).collect::<Vec<_>>()
    };
    let seven = Some(record(7));

    let created_and_deleted = ops(&|edit| {
        assert_eq!(edit.put(&new, record(1)).unwrap(), None);
        assert_eq!(edit.get(&new).unwrap(), Some(record(1)));
        assert_eq!(edit.delete(&new).unwrap(), Some(record(1)));
        assert_eq!(edit.get(&new).unwrap(), None);
    });
    assert_eq!(created_and_deleted, []);
    let deleted_and_created = ops(&|edit| {
        assert_eq!(edit.delete(&old).unwrap(), seven);
        assert_eq!(edit.put(&old, record(1)).unwrap(), None);
    });
    assert_eq!(deleted_and_created, [(Action::Update, seven, Some(record(1)))]);
    let deleted_and_put_back = ops(&|edit| {
        edit.delete(&old).unwrap();
        edit.put(&old, record(7)).unwrap();
    });
    assert_eq!(deleted_and_put_back, []);
    let put_as_it_was = ops(&|edit| assert_eq!(edit.put(&old, record(7)).unwrap(), seven));
    assert_eq!(put_as_it_was, []);
    let deleted_where_there_is_none = ops(&|edit| assert_eq!(edit.delete(&new).unwrap(), None));
    assert_eq!(deleted_where_there_is_none, []);
    let updated_twice = ops(&|edit| {
        edit.put(&old, record(1)).unwrap();
        edit.put(&old, record(2)).unwrap();
    });
    assert_eq!(updated_twice, [(Action::Update, seven, Some(record(2)))]);

    // Operations come in the order in which the batch first named their paths.
    let change = world.edit(|edit| {
        edit.put(&new, record(1)).unwrap();
        edit.delete(&old).unwrap();
        edit.put(&new, record(2)).unwrap();
    });
    assert_eq!(change.ops.iter().map(|op| &op.path).collect::<Vec<_>>(), [&new, &old]);
}

#[test]
fn created_nodes_come_in_preorder_with_their_blocks() {
    let mut world = World::empty();
    for (number, (key, cid)) in some_records(300).iter().enumerate() {
        let change = world.edit(|edit| assert_eq!(edit.put(key, *cid).unwrap(), None));
        assert_eq!(change.created[0].cid, change.root, "{number}");
        let mut seen: BTreeSet<Cid> = [change.root].into();
        for made in &change.created {
            assert_eq!(
                (made.node.encode(), made.node.cid(), made.node.layer()),
                (made.bytes.clone(), made.cid, made.layer)
            );
            assert!(seen.contains(&made.cid), "a node comes before its parent");
            seen.extend(made.node.children());
        }
        world.apply(&change);
    }
}

#[test]
fn proofs_go_through_an_event_and_lead_back() {
    let all = some_records(150);
    let keys: Vec<&Key> = all.keys().collect();
    let mut world = World::of(&all);
    for seed in 0..400 {
        let mut dice = Dice::new(seed);
        let change = world.edit(|edit| {
            for _ in 0..=dice.below(6) {
                let key = keys[dice.below(keys.len() as u64) as usize];
                if dice.one_in(2) {
                    edit.put(key, record(dice.next())).unwrap();
                } else {
                    edit.delete(key).unwrap();
                }
            }
        });
        let made = change.nodes();
        let after = Overlay { upper: &made, lower: &world.nodes };
        let covering = covering_proof(&after, change.root, change.ops.iter().map(|op| &op.path)).unwrap();
        let mut file = car::header(&change.root);
        covering.iter().for_each(|(cid, node)| car::block(&mut file, cid, &node.encode()));
        let read = car::Car::read(&file, car::Limits::EVENT).unwrap();
        let part =
            Partial::load(change.root, |cid| read.blocks.get(cid).map(AsRef::as_ref)).unwrap_or_default();
        if !change.ops.is_empty() {
            assert_eq!(part.nodes().len(), covering.len());
            assert_eq!(invert(&part, change.root, &change.ops).unwrap(), world.root);
            refuses_other_operations(&part, &change, world.root);
        }
        world.apply(&change);
    }
}

/// Operations that are not what was done do not lead back.
fn refuses_other_operations(nodes: &dyn Nodes, change: &Change, before: Cid) {
    let mut fewer = change.ops.clone();
    fewer.pop();
    assert_ne!(invert(nodes, change.root, &fewer).ok(), Some(before));
    let mut twice = change.ops.clone();
    twice.push(twice[0].clone());
    assert_eq!(invert(nodes, change.root, &twice), Err(RepoError::RepeatedPath(twice[0].path.clone())));
    let mut other = change.ops.clone();
    other[0].cid = other[0].cid.map(|_| record(u64::MAX));
    other[0].prev = other[0].prev.map(|_| record(u64::MAX));
    assert_ne!(invert(nodes, change.root, &other).ok(), Some(before));
    let mut contradictory = change.ops.clone();
    contradictory[0].prev = None;
    contradictory[0].cid = None;
    assert_eq!(
        invert(nodes, change.root, &contradictory),
        Err(RepoError::Operation(contradictory[0].path.clone()))
    );
}

#[test]
fn records_and_their_absence_are_proved() {
    let repo = Repo::of(120);
    let verifying = signing_key().verifying_key();
    let known = records(&repo.world.nodes, repo.world.root);
    let absent = (0..60).map(|number| (key(&format!("com.example.post/{number:08}x")), None));
    for (key, value) in known.into_iter().map(|(key, cid)| (key, Some(cid))).chain(absent) {
        let found = proof(&repo.world.nodes, repo.world.root, &key).unwrap();
        assert_eq!(found.value, value);
        let mut sections = vec![(repo.commit.cid(), repo.commit.encode())];
        sections.extend(found.nodes.iter().map(|(cid, node)| (*cid, node.encode())));
        let without_record = sections.len();
        sections.extend(value.map(|cid| (cid, repo.blocks[&cid].clone())));
        let verify = |sections: &[(Cid, Vec<u8>)]| {
            verify_proof(&car_of(&[repo.commit.cid()], sections), &did(), &verifying, &key)
        };
        let proven = verify(&sections).unwrap();
        assert_eq!((proven.value, proven.record.as_ref()), (value, value.map(|cid| &repo.blocks[&cid])));
        assert_eq!(proven.commit, repo.commit);
        assert_eq!(verify(&sections[..without_record]).unwrap().record, None);
        // A proof that is cut short proves nothing.
        for left_out in 0..without_record {
            let mut fewer = sections.clone();
            let (missing, _) = fewer.remove(left_out);
            match verify(&fewer) {
                Err(RepoError::MissingBlock(cid)) => assert_eq!(cid, missing),
                // Below the key's layer the key cannot be.
                Ok(proven) => {
                    assert_eq!((value, proven.value), (None, None));
                    assert!(found.nodes[left_out - 1].1.layer() < key.layer());
                }
                Err(other) => panic!("{other}"),
            }
        }
        let other =
            murmuration_keys::SigningKey::from_bytes(murmuration_keys::Curve::K256, &[8; 32]).unwrap();
        let car = car_of(&[repo.commit.cid()], &sections);
        let refused = verify_proof(&car, &did(), &other.verifying_key(), &key);
        assert_eq!(refused.unwrap_err(), RepoError::Signature);
        let stranger = murmuration_syntax::Did::parse("did:web:example.com").unwrap();
        assert_eq!(verify_proof(&car, &stranger, &verifying, &key).unwrap_err(), RepoError::WrongDid);
    }
}

#[test]
fn what_is_exported_is_imported() {
    for count in [0, 1, 2, 5, 60, 400] {
        let repo = Repo::of(count);
        let key = signing_key().verifying_key();
        let whole = import(&repo.car(), &did(), &key).unwrap();
        assert_eq!(whole.commit, repo.commit);
        assert_eq!(whole.cid, repo.commit.cid());
        assert!(whole.nodes.iter().eq(repo.world.nodes.iter()));
        let found: Vec<_> = whole.records.iter().map(|record| (record.key.clone(), record.cid)).collect();
        assert_eq!(found, repo.world.records());
        assert!(whole.records.iter().all(|record| record.block.as_ref() == repo.blocks[&record.cid]));

        // In any order, in pieces, with blocks that belong to nothing.
        let mut sections = repo.sections();
        Dice::new(count).shuffle(&mut sections);
        let stray = murmuration_data::cid_of_raw(b"stray");
        sections.insert(0, (stray, b"stray".to_vec()));
        let mut shuffled = Import::new(car::Limits::IMPORT);
        let car = car_of(&[repo.commit.cid()], &sections);
        for piece in car.chunks(100) {
            shuffled.push(piece).unwrap();
        }
        let shuffled = shuffled.finish(&car, &did(), &[key]).unwrap().collect().unwrap();
        assert_eq!(shuffled.records, whole.records);
        assert!(shuffled.nodes.iter().eq(whole.nodes.iter()));
    }
}

#[test]
fn commits_read_back_and_hold_their_signature() {
    let commit = Repo::of(3).commit;
    let block = commit.encode();
    assert_eq!(Commit::decode(&block).unwrap(), commit);
    assert_eq!(commit.prev, None);
    let key = signing_key().verifying_key();
    commit.verify(&key).unwrap();
    for at in 0..block.len() {
        let mut other = block.clone();
        other[at] ^= 1;
        if let Ok(read) = Commit::decode(&other) {
            assert_eq!(read.encode(), other, "one form only");
            assert_eq!(read.verify(&key), Err(RepoError::Signature));
        }
    }
}

#[test]
fn a_walk_can_leave_subtrees_out() {
    let all = some_records(200);
    let world = World::of(&all);
    let everything: Vec<(Key, Cid)> = all.clone().into_iter().collect();
    assert_eq!(world.records(), everything);
    // After a change, leaving out what was there before gives exactly what is new.
    let change = world.edit(|edit| {
        edit.put(key("com.example.a/00050x"), record(1)).unwrap();
        edit.delete(key("com.example.a/00120")).unwrap();
    });
    let made = change.nodes();
    let mut walk = Walk::new(change.root);
    let mut found = Vec::new();
    while let Some(step) = walk.next_where(&made, &mut |cid| made.node(cid).is_ok()).unwrap() {
        if let Step::Node { cid, .. } = step {
            found.push(cid);
        }
    }
    assert_eq!(found, change.created.iter().map(|made| made.cid).collect::<Vec<_>>());
}

/// A source that counts what is loaded from it.
struct Counted<'a> {
    nodes: &'a dyn Nodes,
    count: Cell<usize>,
}

impl Nodes for Counted<'_> {
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError> {
        self.count.set(self.count.get() + 1);
        self.nodes.node(cid)
    }
}

#[test]
fn a_write_in_a_large_tree_touches_one_node_a_layer() {
    const RECORDS: u64 = 100_000;
    const WRITES: usize = 500;
    let all: BTreeMap<Key, Cid> =
        (0..RECORDS).map(|number| (key(&format!("com.example.a/{number:08}")), record(number))).collect();
    let mut world = World::of(&all);
    let height = world.nodes.node(&world.root).unwrap().layer() as usize + 1;
    let (mut made, mut loaded, mut bytes) = (0, 0, 0);
    for number in 0..WRITES {
        let counted = Counted { nodes: &world.nodes, count: Cell::new(0) };
        let mut edit = Edit::new(&counted, world.root);
        let new = key(&format!("com.example.a/{:08}x", number as u64 * (RECORDS / WRITES as u64)));
        edit.put(&new, record(1)).unwrap();
        let change = edit.finish().unwrap();
        made += change.created.len();
        loaded += counted.count.get();
        bytes += change.created.iter().map(|made| made.bytes.len()).sum::<usize>();
        world.apply(&change);
    }
    let mean = |sum: usize| sum as f64 / WRITES as f64;
    println!(
        "{height} layers; a write loads {:.2} nodes and makes {:.2}, {:.0} bytes",
        mean(loaded),
        mean(made),
        mean(bytes)
    );
    assert!(height <= 12);
    assert!(mean(loaded) <= height as f64 && mean(made) <= height as f64 + 0.5);
}
