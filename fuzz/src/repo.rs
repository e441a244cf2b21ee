//! Nodes, trees, commits, CARs and whole repositories.

use std::rc::Rc;

use murmuration_data::cbor::Writer;
use murmuration_data::{Cid, cid_of_cbor};
use murmuration_keys::{Curve, SigningKey};
use murmuration_repo::car::{self, Car, Limits, Reader};
use murmuration_repo::{
    Commit, Edit, Import, Key, Node, NodeMap, Nodes, Partial, RepoError, Step, Walk, covering_proof, diff,
    empty_root, import, invert, proof,
};
use murmuration_syntax::{Did, Rev};

/// A node that is read has the block it was read from, and what is checked less is read no less.
pub fn mst_node(data: &[u8]) {
    let own = Node::decode_own(data, 3);
    if let Ok(node) = &own {
        assert_eq!(node.encode(), data);
        assert!(node.entries().is_sorted_by(|left, right| left.key < right.key));
    }
    if let Ok(node) = Node::decode(data, 3) {
        assert_eq!(Some(&node), own.as_ref().ok());
        assert!(node.entries().iter().all(|entry| entry.key.layer() == 3));
    }
    if let Ok(node) = Node::decode_root(data) {
        assert_eq!(Node::decode_own(data, node.layer()).as_ref(), Ok(&node));
    }
}

/// Whatever a source of nodes says, no operation on a tree panics or goes on without end. The first byte chooses how
/// the blocks, which the rest is cut into, answer to CIDs.
pub fn mst_tree(data: &[u8]) {
    let Some((&choice, rest)) = data.split_first() else { return };
    let blocks: Vec<&[u8]> = sections(rest).collect();
    let root = cid_of_cbor(blocks.first().copied().unwrap_or_default());
    let found = |cid: &Cid| -> Option<&[u8]> {
        if choice & 1 == 0 {
            return blocks.iter().copied().find(|block| cid_of_cbor(block) == *cid);
        }
        // A source that lies: any block for any CID.
        let at = cid.hash().digest().first().copied().map(usize::from)?;
        if *cid == root { blocks.first().copied() } else { blocks.get(at % blocks.len().max(1)).copied() }
    };
    let Ok(part) = Partial::load(root, found) else { return };
    let keys: Vec<Key> = part
        .nodes()
        .iter()
        .flat_map(|(_, node)| node.entries())
        .map(|entry| entry.key.clone())
        .chain(["a/a", "com.example.a/00000001", "z/z"].map(|text| Key::parse(text).expect("a key")))
        .collect();
    let mut walk = Walk::new(root);
    let mut last: Option<Key> = None;
    while let Ok(Some(step)) = walk.next(&part) {
        if let Step::Record { key, .. } = step {
            assert!(last.as_ref().is_none_or(|last| *last < key), "a walk goes forward");
            last = Some(key);
        }
    }
    let _ = covering_proof(&part, root, &keys);
    let _ = diff(&part, root, &NodeMap::empty_tree(), empty_root());
    for key in &keys {
        let _ = proof(&part, root, key);
        change(&part, root, choice & 1 == 0, |edit| edit.delete(key));
        change(&part, root, choice & 1 == 0, |edit| edit.put(key, empty_root()));
    }
}

/// What an edit that succeeds has done can be undone over its covering proof. It leads back where the nodes told the
/// truth; where they lied about their CIDs, the same tree has other CIDs.
fn change(
    nodes: &Partial,
    root: Cid,
    truth: bool,
    edits: impl FnOnce(&mut Edit<'_>) -> Result<Option<Cid>, RepoError>,
) {
    let mut edit = Edit::new(nodes, root);
    if edits(&mut edit).is_err() {
        return;
    }
    let Ok(change) = edit.finish() else { return };
    let made = change.nodes();
    let after = murmuration_repo::Overlay { upper: &made, lower: nodes };
    if let Ok(covering) = covering_proof(&after, change.root, change.ops.iter().map(|op| &op.path))
        && !change.is_empty()
    {
        let undone = invert(&covering, change.root, &change.ops);
        assert!(undone == Ok(root) || !truth);
    }
}

/// A commit that is read has the block it was read from, and its signature is not noise.
pub fn commit(data: &[u8]) {
    if let Ok(commit) = Commit::decode(data) {
        assert_eq!(commit.encode(), data);
        assert_eq!(commit.cid(), cid_of_cbor(data));
        if commit.verify(&signing_key().verifying_key()).is_ok() {
            let again = Commit::sign(&commit.did, commit.data, commit.rev, &signing_key()).expect("a root");
            assert!(commit.prev.is_some() || commit.sig == again.sig, "noise that verifies");
        }
    }
}

/// A CAR reads the same whole and in pieces, and what is read is written as it was.
pub fn car(data: &[u8]) {
    let limits = Limits { bytes: 100_000, blocks: 100, block_bytes: 10_000 };
    let mut blocks: Vec<(Cid, Vec<u8>)> = Vec::new();
    let mut reader = Reader::new(limits);
    let whole = reader.push(data, &mut |cid, block| {
        blocks.push((cid, block.to_vec()));
        Ok(())
    });
    let whole = whole.and_then(|()| reader.finish());

    let mut reader = Reader::new(limits);
    let mut count = 0;
    let pieces = data.chunks(7).try_for_each(|piece| {
        reader.push(piece, &mut |cid, block| {
            assert_eq!(blocks[count], (cid, block.to_vec()));
            count += 1;
            Ok(())
        })
    });
    let pieces = pieces.and_then(|()| reader.finish());
    assert_eq!(whole, pieces);

    let Ok(roots) = whole else { return };
    let mut out = match roots.as_slice() {
        [] => car::header_without_roots(),
        [root] => car::header(root),
        _ => return,
    };
    blocks.iter().for_each(|(cid, block)| car::block(&mut out, cid, block));
    assert_eq!(out, data);
}

/// An import takes a whole repository or nothing. The CAR is tried as it is, and with its blocks renamed to their
/// hashes and the first signed, so that it is not always the hashes that refuse it.
pub fn import_car(data: &[u8]) {
    taken(import(data, &did(), &signing_key().verifying_key()));
    let blocks: Vec<&[u8]> = sections(data).collect();
    let Some((root, _)) = blocks.split_first() else { return };
    let root = cid_of_cbor(root);
    let commit = Commit::sign(&did(), root, Rev::from_parts(1, 1), &signing_key()).expect("a root");
    let mut import = Import::new(Limits::IMPORT);
    let mut out = car::header(&commit.cid());
    car::block(&mut out, &commit.cid(), &commit.encode());
    blocks.iter().for_each(|block| car::block(&mut out, &cid_of_cbor(block), block));
    if import.push(&out).is_ok() {
        taken(
            import.finish(&out, &did(), &[signing_key().verifying_key()]).and_then(|whole| whole.collect()),
        );
    }
}

fn taken(imported: Result<murmuration_repo::Imported, RepoError>) {
    let Ok(imported) = imported else { return };
    let mut walk = Walk::new(imported.commit.data);
    for record in &imported.records {
        let found = walk.next_record(&imported.nodes).expect("a whole tree");
        assert_eq!(found, Some((record.key.clone(), record.cid)));
        assert_eq!(cid_of_cbor(&record.block), record.cid);
    }
    assert_eq!(walk.next_record(&imported.nodes), Ok(None));
    for (cid, node) in imported.nodes.iter() {
        assert_eq!(node.cid(), *cid);
    }
}

/// Cuts bytes into blocks: two bytes of length before each.
fn sections(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length)).min(behind.len());
        let (block, behind) = behind.split_at(length);
        rest = behind;
        Some(block)
    })
}

/// The node of a tree without a record, a leaf, and the nodes of a larger tree.
pub fn node_seeds() -> Vec<Vec<u8>> {
    let (nodes, _) = tree(40);
    nodes.iter().map(|(_, node)| node.encode()).chain([Node::empty().encode()]).collect()
}

/// Trees, whole and with nodes left out, told truly and not.
pub fn tree_seeds() -> Vec<Vec<u8>> {
    let whole = cut(30, false);
    let few = cut(3, false);
    [whole.as_slice(), &few, &whole[..whole.len() / 2]]
        .iter()
        .flat_map(|blocks| [[&[0], *blocks].concat(), [&[1], *blocks].concat()])
        .collect()
}

/// A commit.
pub fn commit_seeds() -> Vec<Vec<u8>> {
    let rev = Rev::from_parts(1_700_000_000_000_000, 3);
    let mut older = Commit::sign(&did(), empty_root(), rev, &signing_key()).expect("a root");
    let newer = older.encode();
    older.prev = Some(empty_root());
    vec![newer, older.encode()]
}

/// CARs of two blocks and of none.
pub fn car_seeds() -> Vec<Vec<u8>> {
    let mut two = car::header(&empty_root());
    car::block(&mut two, &empty_root(), &Node::empty().encode());
    car::block(&mut two, &murmuration_data::cid_of_raw(b"raw"), b"raw");
    vec![two, car::header_without_roots()]
}

/// A repository as a CAR, and as blocks to be made one.
pub fn import_seeds() -> Vec<Vec<u8>> {
    let (nodes, root) = tree(12);
    let rev = Rev::from_parts(1_700_000_000_000_000, 3);
    let commit = Commit::sign(&did(), root, rev, &signing_key()).expect("a root");
    let mut whole = car::header(&commit.cid());
    car::block(&mut whole, &commit.cid(), &commit.encode());
    nodes.iter().for_each(|(cid, node)| car::block(&mut whole, cid, &node.encode()));
    car::block(&mut whole, &cid_of_cbor(&record()), &record());
    assert!(import(&whole, &did(), &signing_key().verifying_key()).is_ok());
    assert!(Car::read(&whole, Limits::IMPORT).is_ok());
    vec![whole, cut(12, true)]
}

/// The blocks of a tree, the root first, cut for [`sections`].
fn cut(count: u64, with_record: bool) -> Vec<u8> {
    let (nodes, root) = tree(count);
    let mut blocks = Vec::new();
    let mut walk = Walk::new(root);
    while let Some(step) = walk.next(&nodes).expect("a whole tree") {
        if let Step::Node { node, .. } = step {
            blocks.push(node.encode());
        }
    }
    if with_record {
        blocks.push(record());
    }
    let length = |block: &Vec<u8>| u16::try_from(block.len()).expect("a short block").to_be_bytes();
    blocks.iter().flat_map(|block| length(block).into_iter().chain(block.iter().copied())).collect()
}

fn tree(count: u64) -> (NodeMap, Cid) {
    let mut nodes = NodeMap::empty_tree();
    let mut edit = Edit::new(&nodes, empty_root());
    for number in 0..count {
        let key = Key::parse(&format!("com.example.a/{number:08}")).expect("a key");
        edit.put(key, cid_of_cbor(&record())).expect("a put");
    }
    let change = edit.finish().expect("a change");
    nodes.apply(&change);
    assert!(nodes.node(&change.root).is_ok_and(|node: Rc<Node>| !node.is_empty()));
    (nodes, change.root)
}

fn record() -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(1).text("$type").text("com.example.a");
    writer.into_bytes()
}

fn did() -> Did {
    Did::parse("did:plc:7iza6de2dwap2sbkpav7c6c6").expect("a DID")
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[5; 32]).expect("a key")
}
