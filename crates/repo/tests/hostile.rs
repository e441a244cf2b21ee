//! Trees and CARs that were made to hurt.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use murmuration_data::cbor::Writer;
use murmuration_data::{Cid, cid_of_cbor, cid_of_raw};
use murmuration_repo::car::{self, Car, Limits};
use murmuration_repo::{
    Commit, Import, Key, MAX_ENTRIES_PER_NODE, MAX_LAYER, Node, Partial, RepoError, empty_root, import,
};

use crate::common::{Repo, World, car_of, did, key, record, signing_key};

/// An entry as a block has it: suffix, prefix, subtree, record.
type Raw<'a> = (&'a [u8], u64, Option<Cid>, Cid);

fn block(left: Option<Cid>, entries: &[Raw<'_>]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(2).text("e").array(entries.len());
    for (suffix, prefix, right, value) in entries {
        writer.map(4).text("k").bytes(suffix).text("p").uint(*prefix);
        writer.text("t").optional_link(right.as_ref()).text("v").link(value);
    }
    writer.text("l").optional_link(left.as_ref());
    writer.into_bytes()
}

/// Keys of one layer, in order.
fn on_layer(layer: u32, count: usize) -> Vec<Key> {
    (0..)
        .map(|n| key(&format!("com.example.a/{n:07}")))
        .filter(|key| key.layer() == layer)
        .take(count)
        .collect()
}

/// A block of these keys without subtrees, prefixes as they must be.
fn leaf(keys: &[Key]) -> Vec<u8> {
    let mut last: &[u8] = b"";
    let mut entries: Vec<Raw<'_>> = Vec::new();
    for key in keys {
        let prefix = murmuration_repo::common_prefix(last, key.as_bytes());
        entries.push((&key.as_bytes()[prefix..], prefix as u64, None, record(1)));
        last = key.as_bytes();
    }
    block(None, &entries)
}

fn malformed(result: Result<Node, RepoError>) -> bool {
    matches!(result, Err(RepoError::Malformed { .. } | RepoError::Cbor { .. }))
}

#[test]
fn rejects_nodes_that_break_a_rule() {
    let low = on_layer(0, 3);
    let (first, second) = (low[0].as_bytes(), low[1].as_bytes());
    let shared = murmuration_repo::common_prefix(first, second);
    let (prefix, suffix) = (shared as u64, &second[shared..]);
    let (value, tree) = (record(1), Some(record(2)));
    assert!(Node::decode(&block(None, &[(first, 0, None, value), (suffix, prefix, None, value)]), 0).is_ok());

    // Prefixes: too short, too long, before the first key.
    let short = &second[shared - 1..];
    assert!(malformed(Node::decode(
        &block(None, &[(first, 0, None, value), (short, prefix - 1, None, value)]),
        0
    )));
    let long = block(None, &[(first, 0, None, value), (b"x", first.len() as u64 + 1, None, value)]);
    assert!(malformed(Node::decode(&long, 0)));
    assert!(malformed(Node::decode(&block(None, &[(&first[1..], 1, None, value)]), 0)));
    // Order: falling, repeated.
    let falling = murmuration_repo::common_prefix(second, first);
    let back = block(None, &[(second, 0, None, value), (&first[falling..], falling as u64, None, value)]);
    assert_eq!(Node::decode(&back, 0), Err(RepoError::KeyOrder));
    let same = block(None, &[(first, 0, None, value), (b"", first.len() as u64, None, value)]);
    assert_eq!(Node::decode(&same, 0), Err(RepoError::KeyOrder));
    // Layers: of a key, of subtrees, beyond all.
    let high = on_layer(1, 1);
    assert_eq!(Node::decode(&leaf(&high), 0), Err(RepoError::Layer { expected: 0, found: 1 }));
    let mixed = [low[0].clone(), high[0].clone()];
    assert!(matches!(Node::decode_root(&leaf(&mixed)), Err(RepoError::Layer { .. } | RepoError::KeyOrder)));
    assert!(malformed(Node::decode(&block(tree, &[(first, 0, None, value)]), 0)));
    assert!(malformed(Node::decode(&block(None, &[(first, 0, tree, value)]), 0)));
    let above = Node::decode(&block(tree, &[]), MAX_LAYER + 1);
    assert_eq!(above, Err(RepoError::LayerLimit { layer: MAX_LAYER + 1, limit: MAX_LAYER }));
    // Empty: nothing at all below the root, a root that is only a rung.
    assert_eq!(Node::decode(&Node::empty().encode(), 0), Err(RepoError::EmptyNode));
    assert!(Node::decode_root(&Node::empty().encode()).unwrap().is_empty());
    assert!(Node::decode(&block(tree, &[]), 5).is_ok());
    assert_eq!(Node::decode_root(&block(tree, &[])), Err(RepoError::EmptyNode));
    // Links: raw where only DAG-CBOR may be.
    let raw = cid_of_raw(b"raw");
    assert_eq!(Node::decode(&block(None, &[(first, 0, None, raw)]), 0), Err(RepoError::Link(raw)));
    assert_eq!(Node::decode(&block(Some(raw), &[]), 1), Err(RepoError::Link(raw)));
    // Keys that no tree has.
    for bad in [&b""[..], b"a", b"a/", b"/a", b"a/b/c", b"a/\xff", b"a/ ", &[b'a'; 1025]] {
        assert!(matches!(
            Node::decode_root(&block(None, &[(bad, 0, None, value)])),
            Err(RepoError::Key { .. } | RepoError::KeyOrder)
        ));
    }
}

#[test]
fn a_block_has_one_form_only() {
    let keys = on_layer(0, 5);
    let good = leaf(&keys);
    assert!(Node::decode(&good, 0).is_ok());
    for at in 0..good.len() {
        assert!(Node::decode(&good[..at], 0).is_err());
        for bit in 0..8 {
            let mut other = good.clone();
            other[at] ^= 1 << bit;
            if let Ok(node) = Node::decode_own(&other, 0) {
                assert_eq!(node.encode(), other);
            }
        }
    }
    let mut longer = good;
    longer.push(0);
    assert!(malformed(Node::decode(&longer, 0)));
}

#[test]
fn rejects_wide_nodes_where_they_are_read_and_where_they_would_be_made() {
    let keys = on_layer(0, MAX_ENTRIES_PER_NODE + 1);
    assert!(Node::decode(&leaf(&keys[..MAX_ENTRIES_PER_NODE]), 0).is_ok());
    assert!(matches!(Node::decode(&leaf(&keys), 0), Err(RepoError::TooLarge { .. })));

    let one = record(1);
    let mut world = World::of(keys[..MAX_ENTRIES_PER_NODE].iter().map(|key| (key, &one)));
    let mut edit = murmuration_repo::Edit::new(&world.nodes, world.root);
    edit.put(&keys[MAX_ENTRIES_PER_NODE], record(1)).unwrap();
    assert!(matches!(edit.finish(), Err(RepoError::TooLarge { .. })));
    // Room can always be made.
    let change = world.edit(|edit| assert!(edit.delete(&keys[0]).unwrap().is_some()));
    world.apply(&change);
    let change =
        world.edit(|edit| assert_eq!(edit.put(&keys[MAX_ENTRIES_PER_NODE], record(1)).unwrap(), None));
    world.apply(&change);
}

#[test]
fn rejects_announced_sizes_at_once() {
    let started = Instant::now();
    let heads: [&[u8]; 6] = [
        &[0xa2, 0x61, b'e', 0x9b, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xa2, 0x61, b'e', 0x9a, 0xff, 0xff, 0xff, 0xff],
        &[0xa2, 0x61, b'e', 0x9f],
        &[0xa2, 0x61, b'e', 0x81, 0xa4, 0x61, b'k', 0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &[0xbf],
        &[0xa2, 0x61, b'e', 0x98, 0x05],
    ];
    for head in heads {
        assert!(Node::decode(head, 0).is_err());
        assert!(Commit::decode(head).is_err());
    }
    assert!(matches!(Node::decode(&vec![0; 300_000], 0), Err(RepoError::TooLarge { .. })));
    assert!(matches!(Commit::decode(&vec![0; 5_000]), Err(RepoError::TooLarge { .. })));

    // CARs: a section of 2^63 bytes, a length that never ends, one not in its shortest form, a header too large.
    let header = car::header(&empty_root());
    let with = |tail: &[u8]| [&header, tail].concat();
    for bad in [
        with(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        with(&[0xff; 40]),
        with(&[0xa5, 0x80, 0x00]),
        with(&[0]),
        with(&[1, 1]),
        vec![0xff, 0xff, 0x7f],
        vec![0],
        vec![],
        vec![1, 0xa0],
    ] {
        let result = Car::read(&bad, Limits::IMPORT);
        assert!(result.is_err(), "{bad:?}");
    }
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn rejects_trees_whose_keys_are_out_of_their_place() {
    let low = on_layer(0, 200);
    let rows = on_layer(1, 40);
    let inside = |pair: &[Key]| -> Vec<Key> {
        low.iter().filter(|key| **key > pair[0] && **key < pair[1]).cloned().collect()
    };
    let high = rows[1..].windows(2).find(|pair| inside(pair).len() > 1).unwrap();
    let between = inside(high);
    let before: Vec<Key> = low.iter().filter(|key| **key < high[0]).cloned().collect();
    let tree = |left: &[Key], right: &[Key]| {
        let (left, right) = (leaf(left), leaf(right));
        let (left_cid, right_cid) = (cid_of_cbor(&left), cid_of_cbor(&right));
        let root = block(Some(left_cid), &[(high[0].as_bytes(), 0, Some(right_cid), record(1))]);
        let root_cid = cid_of_cbor(&root);
        let blocks: BTreeMap<Cid, Vec<u8>> = [(left_cid, left), (right_cid, right), (root_cid, root)].into();
        Partial::load(root_cid, |cid| blocks.get(cid).map(Vec::as_slice)).map(|part| part.nodes().len())
    };
    assert_eq!(tree(&before, &between), Ok(3));
    assert_eq!(tree(&between, &before), Err(RepoError::KeyOrder));
    assert_eq!(tree(&before, &before), Err(RepoError::KeyOrder));
    let straddling = [before.last().unwrap().clone(), between[0].clone()];
    assert_eq!(tree(&straddling, &between[1..]), Err(RepoError::KeyOrder));
    assert!(matches!(tree(&[], &between), Err(RepoError::EmptyNode)));
    assert!(matches!(tree(&before, &high[1..2]), Err(RepoError::Layer { expected: 0, found: 1 })));
}

#[test]
fn rejects_a_subtree_that_stands_twice_or_contains_itself() {
    // Two rungs side by side over one missing node: no key shows it, the CID does.
    let high = on_layer(3, 2);
    let rung = block(Some(record(9)), &[]);
    let cid = cid_of_cbor(&rung);
    let root = block(Some(cid), &[(high[0].as_bytes(), 0, Some(cid), record(1))]);
    let root_cid = cid_of_cbor(&root);
    let found = |wanted: &Cid| {
        [(root_cid, &root), (cid, &rung)]
            .into_iter()
            .find(|block| block.0 == *wanted)
            .map(|block| block.1.as_slice())
    };
    assert_eq!(Partial::load(root_cid, found).unwrap_err(), RepoError::RepeatedNode(cid));

    // A cycle cannot be made with hashes that hold; a source that lies about them can make one.
    let cycle = block(Some(cid), &[]);
    let lying = |wanted: &Cid| Some(if *wanted == root_cid { root.as_slice() } else { cycle.as_slice() });
    let error = Partial::load(root_cid, lying).unwrap_err();
    assert!(matches!(error, RepoError::RepeatedNode(_)), "{error}");
    // Through an edit, layers run out.
    struct Liar(std::rc::Rc<Node>);
    impl murmuration_repo::Nodes for Liar {
        fn node(&self, _: &Cid) -> Result<std::rc::Rc<Node>, RepoError> {
            Ok(self.0.clone())
        }
    }
    let liar = Liar(std::rc::Rc::new(Node::decode_root(&root).unwrap()));
    let mut edit = murmuration_repo::Edit::new(&liar, root_cid);
    assert!(matches!(edit.put(key("a/a"), record(1)), Err(RepoError::Layer { .. })));
    assert!(murmuration_repo::diff(&liar, root_cid, &World::empty().nodes, empty_root()).is_err());
    let mut walk = murmuration_repo::Walk::new(root_cid);
    assert!(std::iter::from_fn(|| walk.next(&liar).transpose()).take(100).any(|step| step.is_err()));
}

fn refused(roots: &[Cid], sections: &[(Cid, Vec<u8>)]) -> RepoError {
    import(&car_of(roots, sections), &did(), &signing_key().verifying_key()).unwrap_err()
}

#[test]
fn rejects_imports_that_are_not_the_whole_repository() {
    let repo = Repo::of(40);
    let sections = repo.sections();
    let root = [repo.commit.cid()];
    assert!(import(&repo.car(), &did(), &signing_key().verifying_key()).is_ok());
    for left_out in 0..sections.len() {
        let missing = sections[left_out].0;
        let fewer: Vec<_> = sections.iter().filter(|(cid, _)| *cid != missing).cloned().collect();
        assert_eq!(refused(&root, &fewer), RepoError::MissingBlock(missing));
    }
    for at in 0..sections.len() {
        let mut wrong = sections.clone();
        *wrong[at].1.last_mut().unwrap() ^= 1;
        assert_eq!(refused(&root, &wrong), RepoError::WrongHash(sections[at].0));
    }
    assert_eq!(refused(&[], &sections), RepoError::Roots(0));
    assert_eq!(refused(&[root[0], root[0]], &sections), RepoError::Roots(2));
    assert_eq!(refused(&[sections[5].0], &sections).to_string().split(' ').next(), Some("the"));
    let other = murmuration_syntax::Did::parse("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
    let result = import(&repo.car(), &other, &signing_key().verifying_key());
    assert_eq!(result.unwrap_err(), RepoError::WrongDid);
    let stranger = murmuration_keys::SigningKey::from_bytes(murmuration_keys::Curve::P256, &[9; 32]).unwrap();
    let result = import(&repo.car(), &did(), &stranger.verifying_key());
    assert_eq!(result.unwrap_err(), RepoError::Signature);
}

#[test]
fn rejects_an_import_that_ends_anywhere_too_early() {
    let car = Repo::of(24).car();
    assert!((3_000..6_000).contains(&car.len()), "{}", car.len());
    for end in 0..car.len() {
        assert!(import(&car[..end], &did(), &signing_key().verifying_key()).is_err(), "{end}");
    }
}

#[test]
fn rejects_records_that_are_none_and_keys_that_are_no_paths() {
    let signed = |key: Key, cid: Cid, block: &[u8]| {
        let world = World::of([(&key, &cid)]);
        let rev = murmuration_syntax::Rev::from_parts(1, 1);
        let commit = Commit::sign(&did(), world.root, rev, &signing_key()).unwrap();
        let sections = [
            (commit.cid(), commit.encode()),
            (world.root, murmuration_repo::Nodes::node(&world.nodes, &world.root).unwrap().encode()),
            (cid, block.to_vec()),
        ];
        import(&car_of(&[commit.cid()], &sections), &did(), &signing_key().verifying_key())
    };
    let good = {
        let mut writer = Writer::new();
        writer.map(1).text("$type").text("com.example.a");
        writer.into_bytes()
    };
    let path = key("com.example.a/self");
    assert!(signed(path.clone(), cid_of_cbor(&good), &good).is_ok());
    assert!(matches!(signed(key("a/self"), cid_of_cbor(&good), &good), Err(RepoError::Path(_))));
    let deep: Vec<u8> = std::iter::repeat_n(0x81, 60_000).chain([0]).collect();
    let float = [0xa1, 0x61, b'a', 0xfb, 0, 0, 0, 0, 0, 0, 0, 0];
    for bad in [&[0x80][..], &[0x01], &deep, &float, &[0xa1, 0x61, b'a'], &[0xa0, 0x00], b"junk"] {
        let started = Instant::now();
        assert!(matches!(signed(path.clone(), cid_of_cbor(bad), bad), Err(RepoError::Record { .. })));
        assert!(started.elapsed() < Duration::from_millis(500));
    }
}

#[test]
fn an_endless_import_ends_at_its_limits() {
    let limits = Limits { bytes: 1_000_000, blocks: 100, block_bytes: 10_000 };
    let block = vec![7; 9_000];
    let mut piece = Vec::new();
    car::block(&mut piece, &cid_of_raw(&block), &block);
    let mut endless = Import::new(limits);
    endless.push(&car::header(&empty_root())).unwrap();
    let error = std::iter::repeat(&piece).find_map(|piece| endless.push(piece).err()).unwrap();
    assert_eq!(error, RepoError::TooLarge { what: "CAR's count of blocks", limit: 100 });

    let mut endless = Import::new(Limits { blocks: u64::MAX, ..limits });
    endless.push(&car::header(&empty_root())).unwrap();
    let error = std::iter::repeat(&piece).find_map(|piece| endless.push(piece).err()).unwrap();
    assert_eq!(error, RepoError::TooLarge { what: "CAR's bytes", limit: 1_000_000 });

    let mut large = Import::new(limits);
    large.push(&car::header(&empty_root())).unwrap();
    let block = vec![7; 10_001];
    let mut piece = Vec::new();
    car::block(&mut piece, &cid_of_raw(&block), &block);
    assert!(matches!(large.push(&piece[..10]), Err(RepoError::TooLarge { .. })));
}

/// indigo, issue 1229: a tree whose nodes go by CIDs of another codec was taken by some and refused by others.
#[test]
fn regress_indigo_1229_a_node_goes_by_a_dag_cbor_cid() {
    let [low, high] = [on_layer(0, 1), on_layer(1, 1)].map(|keys| keys[0].clone());
    let under = block(None, &[(low.as_bytes(), 0, None, record(1))]);
    let over = |left: Cid| block(Some(left), &[(high.as_bytes(), 0, None, record(2))]);
    let (good, bad) = (cid_of_cbor(&under), cid_of_raw(&under));
    assert!(Node::decode(&over(good), 1).is_ok());
    assert!(Node::decode(&over(bad), 1).is_err(), "a subtree");
    let rev = murmuration_syntax::Rev::from_parts(1, 1);
    assert!(Commit::sign(&did(), good, rev, &signing_key()).is_ok());
    assert!(Commit::sign(&did(), bad, rev, &signing_key()).is_err(), "the root of a commit");
}

/// go-car, as lily met it in issue 1030: a malformed CAR was a panic.
#[test]
fn regress_go_car_a_malformed_car_is_an_error() {
    let car = Repo::of(6).car();
    let read = |bytes: &[u8]| import(bytes, &did(), &signing_key().verifying_key());
    assert!(read(&car).is_ok());
    for at in 0..car.len() {
        for value in [0, 0x7f, 0xff, car[at] ^ 1, car[at] ^ 0x80] {
            let mut bad = car.clone();
            bad[at] = value;
            assert!(value == car[at] || read(&bad).is_err(), "byte {at} as {value}");
        }
    }
}
