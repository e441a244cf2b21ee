//! The tree against bluesky-social/atproto-interop-tests.

use murmuration_repo::{
    Action, NodeMap, Nodes, Overlay, Partial, RecordOp, RepoError, common_prefix, covering_proof, invert,
    layer_of,
};
use serde_json::Value;

use crate::common;
use crate::common::{World, cid, interop, interop_json, key};

#[test]
fn interop_keys_have_the_published_heights() {
    let Some(cases) = interop_json("mst/key_heights.json") else { return };
    for case in cases.as_array().unwrap() {
        let text = case["key"].as_str().unwrap();
        assert_eq!(u64::from(layer_of(text.as_bytes())), case["height"].as_u64().unwrap(), "{text}");
    }
}

#[test]
fn interop_keys_share_the_published_prefixes() {
    let Some(cases) = interop_json("mst/common_prefix.json") else { return };
    for case in cases.as_array().unwrap() {
        let (left, right) = (case["left"].as_str().unwrap(), case["right"].as_str().unwrap());
        let length = common_prefix(left.as_bytes(), right.as_bytes());
        assert_eq!(length as u64, case["len"].as_u64().unwrap(), "{left} {right}");
    }
}

#[test]
fn interop_example_keys_lie_on_the_layers_they_name() {
    let Some(file) = interop("mst/example_keys.txt") else { return };
    let text = std::fs::read_to_string(file).unwrap();
    let mut count = 0;
    for line in text.lines() {
        let layer: u32 = line[1..2].parse().unwrap();
        assert_eq!(key(line).layer(), layer, "{line}");
        count += 1;
    }
    assert_eq!(count, 156);

    // All of them make one tree, whichever comes first.
    let mut keys: Vec<_> = text.lines().map(|line| (key(line), common::record(1))).collect();
    let root = World::of(keys.iter().map(|(key, cid)| (key, cid))).root;
    keys.reverse();
    let world = World::of(keys.iter().map(|(key, cid)| (key, cid)));
    assert_eq!(world.root, root);
    keys.reverse();
    assert_eq!(world.records(), keys);
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().unwrap().iter().map(|text| text.as_str().unwrap())
}

#[test]
fn interop_commits_are_proved_and_undone_as_published() {
    let Some(cases) = interop_json("firehose/commit-proof-fixtures.json") else { return };
    assert_eq!(cases.as_array().unwrap().len(), 6);
    for case in cases.as_array().unwrap() {
        let name = case["comment"].as_str().unwrap();
        let value = cid(case["leafValue"].as_str().unwrap());
        let before = World::of(
            texts(&case["keys"])
                .map(|text| (key(text), value))
                .collect::<Vec<_>>()
                .iter()
                .map(|(key, cid)| (key, cid)),
        );
        assert_eq!(before.root, cid(case["rootBeforeCommit"].as_str().unwrap()), "{name}: before");

        let change = before.edit(|edit| {
            texts(&case["adds"]).for_each(|text| assert_eq!(edit.put(key(text), value).unwrap(), None));
            texts(&case["dels"]).for_each(|text| assert_eq!(edit.delete(key(text)).unwrap(), Some(value)));
        });
        assert_eq!(change.root, cid(case["rootAfterCommit"].as_str().unwrap()), "{name}: after");

        let made = change.nodes();
        let after = Overlay { upper: &made, lower: &before.nodes };
        let proof = covering_proof(&after, change.root, change.ops.iter().map(|op| &op.path)).unwrap();
        let mut found: Vec<String> = proof.iter().map(|(cid, _)| cid.to_string()).collect();
        let mut published: Vec<String> = texts(&case["blocksInProof"]).map(String::from).collect();
        found.sort();
        published.sort();
        assert_eq!(found, published, "{name}: proof");

        undo_in_any_order(name, &proof, change.root, &change.ops, before.root);
        needs_every_block(name, &proof, change.root, &change.ops, before.root);
    }
}

/// The published proof is enough whichever operation is undone first.
fn undo_in_any_order(
    name: &str,
    proof: &NodeMap,
    root: murmuration_data::Cid,
    ops: &[RecordOp],
    before: murmuration_data::Cid,
) {
    assert_eq!(invert(proof, root, ops).unwrap(), before, "{name}: undone");
    for first in 0..ops.len() {
        for second in 0..ops.len() {
            let mut order = ops.to_vec();
            order.swap(0, first);
            order.swap(ops.len() - 1, second);
            // One at a time: each is undone in a tree of its own, out of the nodes of the one before.
            let mut nodes = proof.clone();
            let mut root = root;
            for op in &order {
                let mut edit = murmuration_repo::Edit::new(&nodes, root);
                match (op.action, op.prev) {
                    (Action::Create, _) => assert_eq!(edit.delete(&op.path).unwrap(), op.cid),
                    (_, Some(prev)) => assert_eq!(edit.put(&op.path, prev).unwrap(), op.cid),
                    _ => unreachable!(),
                }
                let change = edit.finish().unwrap();
                for created in &change.created {
                    nodes.insert(created.cid, created.node.clone());
                }
                root = change.root;
            }
            assert_eq!(root, before, "{name}: one at a time");
        }
    }
}

/// Leaving a block out never leads to another root: it is missed, or was not needed.
fn needs_every_block(
    name: &str,
    proof: &NodeMap,
    root: murmuration_data::Cid,
    ops: &[RecordOp],
    before: murmuration_data::Cid,
) {
    let blocks: Vec<_> = proof.iter().map(|(cid, node)| (*cid, node.encode())).collect();
    for left_out in 0..blocks.len() {
        let found = |cid: &murmuration_data::Cid| {
            let at = blocks.iter().position(|block| block.0 == *cid)?;
            (at != left_out).then_some(blocks[at].1.as_slice())
        };
        match Partial::load(root, found).and_then(|part| invert(&part, root, ops)) {
            Ok(found) => assert_eq!(found, before, "{name}"),
            Err(RepoError::MissingBlock(cid)) => assert_eq!(cid, blocks[left_out].0, "{name}"),
            Err(other) => panic!("{name}: {other}"),
        }
    }
    assert!(proof.node(&root).is_ok());
}
