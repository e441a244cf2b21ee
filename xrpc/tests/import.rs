//! Repositories that come along with their account: good ones are taken over whole, the others leave everything as it is.

use std::rc::Rc;

use murmuration_account::{Account, NewAccount};
use murmuration_bridge::plc::{Operation, State};
use murmuration_data::cbor::Writer;
use murmuration_data::{Cid, cid_of_cbor, cid_of_raw};
use murmuration_keys::{Curve, SigningKey};
use murmuration_lexicons::Catalog;
use murmuration_platform::Store as _;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_repo::{
    Commit, Edit, Key, MAX_ENTRIES_PER_NODE, NodeMap, Step, Walk, car, common_prefix, empty_root,
};
use murmuration_syntax::{Did, Handle, Rev};
use murmuration_xrpc::agent::import::{begin, check, finish, push};
use murmuration_xrpc::agent::{self, Context, Reply};
use murmuration_xrpc::http::{Body, Request, Verb};
use murmuration_xrpc::method::Place;
use murmuration_xrpc::token::{self, Claims, Scope};
use murmuration_xrpc::{Config, XrpcError, table};
use serde_json::Value;

use crate::world::{World, block_on};

const IMPORT: &str = "com.atproto.repo.importRepo";

fn signing_key(secret: u8) -> SigningKey {
    SigningKey::from_bytes(Curve::K256, &[secret; 32]).unwrap()
}

/// The key of the host that the account leaves.
fn old_key() -> SigningKey {
    signing_key(5)
}

struct Home {
    world: World,
    store: Rc<SqliteStore>,
    account: Account,
    did: Did,
}

impl Home {
    fn new() -> Self {
        let world = World::new();
        let store = Rc::new(SqliteStore::open().unwrap());
        let account = Account::new(store.clone(), world.config.kek.clone(), true);
        let did = Did::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap();
        let new = NewAccount {
            did: did.clone(),
            handle: Handle::parse("alice.test").unwrap(),
            email: None,
            password: "a password".into(),
            signing_key: signing_key(6),
            deactivated: true,
        };
        account.create(new, &*world.clock, 1_795_000_000_000_000).unwrap();
        Self { world, store, account, did }
    }

    fn config(&self) -> &Config {
        &self.world.config
    }

    fn context(&self) -> Context<'_> {
        Context {
            account: &self.account,
            config: self.config(),
            catalog: Catalog::builtin(),
            clock: &*self.world.clock,
            entropy: &*self.world.clock,
            embedder: &agent::no_embedder,
            readers: &[],
        }
    }

    fn token(&self, scope: Scope) -> String {
        let iat = self.context().now_seconds();
        let aud = self.config().service_did();
        let claims = Claims { scope, sub: self.did.clone(), aud, iat, exp: iat + 100, jti: None, sid: None };
        format!("Bearer {}", token::sign(&self.config().jwt_secret, &claims).unwrap())
    }

    /// What the object does with a CAR that comes in pieces.
    fn import(&self, car: &Vec<u8>) -> Result<(), XrpcError> {
        let method = table::find(IMPORT).unwrap();
        let mut import = begin(&self.context(), method, Some(&self.token(Scope::Access)))?;
        car.chunks(1000).try_for_each(|piece| push(self.config(), &mut import, piece))?;
        finish(&self.context(), method, import, car, &[&old_key().did_key()]).map(drop)
    }

    /// Imports what must be refused, and sees that nothing has changed.
    #[track_caller]
    fn refuses(&self, name: &str, car: &Vec<u8>) -> String {
        let (head, written) = (self.account.head().unwrap(), self.store.counts().written);
        let error = self.import(car).unwrap_err();
        assert_eq!((error.status(), error.error()), (400, "InvalidRequest"), "{name}: {error}");
        assert_eq!(error.cause(), None, "{name}: {error}");
        assert_eq!((self.account.head().unwrap(), self.store.counts().written), (head, written), "{name}");
        error.message().to_owned()
    }

    fn rows(&self, table: &str) -> i64 {
        self.store.query(&format!("SELECT count(*) FROM {table}"), &[]).unwrap()[0].int(0).unwrap()
    }

    fn get(&self, nsid: &str, query: &[(&str, &str)]) -> Result<Value, XrpcError> {
        let method = table::find(nsid).unwrap();
        let Place::Agent { run, .. } = method.place else { panic!("not an agent's") };
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request {
            verb: Verb::Get,
            nsid: nsid.into(),
            query,
            authorization: Some(self.token(Scope::Access)),
            content_type: None,
            body: Vec::new(),
        };
        match agent::answer(&self.context(), method, run, &request)? {
            Reply::Now(response) | Reply::Changed(response) | Reply::Sent(response, _) => match response.body
            {
                Body::Json(text) => Ok(serde_json::from_str(&text).unwrap()),
                _ => panic!("not JSON"),
            },
            Reply::AfterWrite(..) => panic!("a query writes"),
        }
    }
}

type Sections = Vec<(Cid, Vec<u8>)>;

fn note(text: &str) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.map(2).text("text").text(text).text("$type").text("com.example.note");
    writer.into_bytes()
}

/// The nodes and records of a repository of so many records, the root first.
fn tree(count: u64) -> (Cid, Sections) {
    let mut nodes = NodeMap::empty_tree();
    let mut edit = Edit::new(&nodes, empty_root());
    let records: Sections =
        (0..count).map(|n| note(&format!("note {n}"))).map(|block| (cid_of_cbor(&block), block)).collect();
    for (n, (cid, _)) in records.iter().enumerate() {
        edit.put(Key::parse(&format!("com.example.note/{n:08}")).unwrap(), *cid).unwrap();
    }
    let change = edit.finish().unwrap();
    nodes.apply(&change);
    let mut sections = Vec::new();
    let mut walk = Walk::new(change.root);
    while let Some(step) = walk.next(&nodes).unwrap() {
        if let Step::Node { cid, node } = step {
            sections.push((cid, node.encode()));
        }
    }
    sections.extend(records);
    (change.root, sections)
}

fn commit_of(did: &Did, root: Cid, key: &SigningKey) -> Commit {
    Commit::sign(did, root, Rev::from_parts(1_794_000_000_000_000, 3), key).unwrap()
}

fn car_of(roots: &[Cid], sections: &[(Cid, Vec<u8>)]) -> Vec<u8> {
    let mut header = Writer::new();
    header.map(2).text("roots").array(roots.len());
    roots.iter().for_each(|root| {
        header.link(root);
    });
    header.text("version").uint(1);
    let header = header.into_bytes();
    let mut out = vec![u8::try_from(header.len()).unwrap()];
    out.extend(header);
    sections.iter().for_each(|(cid, block)| car::block(&mut out, cid, block));
    out
}

/// A CAR of these blocks under a good commit of the root.
fn signed(did: &Did, root: Cid, sections: &[(Cid, Vec<u8>)]) -> Vec<u8> {
    let commit = commit_of(did, root, &old_key());
    let commit = (commit.cid(), commit.encode());
    car_of(&[commit.0], &[std::slice::from_ref(&commit), sections].concat())
}

/// A node as it is written: left, then key suffix, prefix length, right and value of each entry.
fn node(left: Option<Cid>, entries: &[(&[u8], u64, Option<Cid>, Cid)]) -> (Cid, Vec<u8>) {
    let mut writer = Writer::new();
    writer.map(2).text("e").array(entries.len());
    for (suffix, prefix, right, value) in entries {
        writer.map(4).text("k").bytes(suffix).text("p").uint(*prefix);
        writer.text("t").optional_link(right.as_ref()).text("v").link(value);
    }
    writer.text("l").optional_link(left.as_ref());
    let block = writer.into_bytes();
    (cid_of_cbor(&block), block)
}

/// Keys of one layer, in order.
fn on_layer(layer: u32, count: usize) -> Vec<Key> {
    let keys = (0..).map(|n| Key::parse(&format!("com.example.note/{n:07}")).unwrap());
    keys.filter(|key| key.layer() == layer).take(count).collect()
}

/// A node of these keys without subtrees, all with the same record.
fn leaf(keys: &[Key], value: Cid) -> (Cid, Vec<u8>) {
    let mut last: &[u8] = b"";
    let mut entries = Vec::new();
    for key in keys {
        let prefix = common_prefix(last, key.as_bytes());
        entries.push((&key.as_bytes()[prefix..], prefix as u64, None, value));
        last = key.as_bytes();
    }
    node(None, &entries)
}

#[test]
fn a_whole_repository_is_taken_over_and_nothing_else() {
    let home = Home::new();
    let (root, mut sections) = tree(40);
    let nodes = sections.len() - 40;
    // Blocks that belong to nothing, of either codec, and one that comes twice; and the order means nothing.
    sections.insert(0, (cid_of_raw(b"stray"), b"stray".to_vec()));
    sections.push((cid_of_cbor(&note("stray")), note("stray")));
    sections.push(sections[5].clone());
    sections.reverse();
    home.import(&signed(&home.did, root, &sections)).unwrap();
    assert_eq!(home.account.head().unwrap().data, root);
    assert_eq!(home.rows("record"), 40);
    assert!(home.rows("page") <= nodes as i64);
    assert_eq!(home.account.next_push().unwrap(), None);
    assert!(home.account.head().unwrap().rev > Rev::from_parts(1_794_000_000_000_000, 3));
    // Its own backup, signed with its own key.
    let mut export = home.account.export(None).unwrap();
    let backup: Vec<u8> = std::iter::from_fn(|| export.next_chunk().unwrap()).flatten().collect();
    let (other, sections) = tree(7);
    home.import(&signed(&home.did, other, &sections)).unwrap();
    assert_eq!(home.rows("record"), 7);
    home.import(&backup).unwrap();
    assert_eq!((home.account.head().unwrap().data, home.rows("record")), (root, 40));
    // An empty one is one, too.
    home.import(&signed(&home.did, empty_root(), &tree(0).1)).unwrap();
    assert_eq!(home.rows("record"), 0);
}

#[test]
fn a_takedown_that_comes_while_the_body_does_is_in_time() {
    let home = Home::new();
    let (root, sections) = tree(24);
    let car = signed(&home.did, root, &sections);
    let method = table::find(IMPORT).unwrap();
    let mut import = begin(&home.context(), method, Some(&home.token(Scope::Access))).unwrap();
    push(home.config(), &mut import, &car).unwrap();
    home.account.edit(&[], 1_795_000_001_000_000, |profile| profile.takedown = Some("x".into())).unwrap();
    let (head, written) = (home.account.head().unwrap(), home.store.counts().written);
    let finished = finish(&home.context(), method, import, &car, &[&old_key().did_key()]);
    assert_eq!(finished.map(drop).unwrap_err().error(), "AccountTakedown");
    assert_eq!((home.account.head().unwrap(), home.store.counts().written), (head, written));
}

#[test]
fn a_car_that_is_cut_anywhere_changes_nothing() {
    let home = Home::new();
    let (root, sections) = tree(24);
    let car = signed(&home.did, root, &sections);
    assert!((3_000..6_000).contains(&car.len()), "{}", car.len());
    for end in 0..car.len() {
        home.refuses(&format!("{end} bytes"), &car[..end].to_vec());
    }
    home.import(&car).unwrap();
}

#[test]
fn what_is_missing_or_wrong_changes_nothing() {
    let home = Home::new();
    let (root, sections) = tree(30);
    for left_out in 0..sections.len() {
        let fewer: Sections =
            sections.iter().filter(|section| section.0 != sections[left_out].0).cloned().collect();
        home.refuses("a block is missing", &signed(&home.did, root, &fewer));
        let mut wrong = sections.clone();
        *wrong[left_out].1.last_mut().unwrap() ^= 1;
        home.refuses("a block is not what it says", &signed(&home.did, root, &wrong));
    }
    let commit = commit_of(&home.did, root, &old_key());
    let whole = [&[(commit.cid(), commit.encode())], sections.as_slice()].concat();
    home.refuses("no root", &car_of(&[], &whole));
    home.refuses("two roots", &car_of(&[commit.cid(), root], &whole));
    home.refuses("the same root twice", &car_of(&[commit.cid(), commit.cid()], &whole));
    home.refuses("the tree as root", &car_of(&[root], &whole));
    home.refuses("a raw root", &car_of(&[cid_of_raw(&commit.encode())], &whole));
    home.refuses("no blocks", &car_of(&[commit.cid()], &[]));
    home.refuses("nothing", &Vec::new());
    home.refuses("not a CAR", &b"{\"json\": true}".to_vec());
    let stranger = Did::parse("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
    let message = home.refuses("another account's", &signed(&stranger, root, &sections));
    assert!(message.contains("another account"), "{message}");
    let forged = commit_of(&home.did, root, &signing_key(9));
    let forged = [&[(forged.cid(), forged.encode())], sections.as_slice()].concat();
    let message = home.refuses("another key's", &car_of(&[forged[0].0], &forged));
    assert!(message.contains("signature"), "{message}");
    let mut raw = commit;
    raw.data = cid_of_raw(b"x");
    home.refuses("a tree of another codec", &car_of(&[raw.cid()], &[(raw.cid(), raw.encode())]));
    home.import(&signed(&home.did, root, &sections)).unwrap();
}

#[test]
fn trees_that_break_a_rule_change_nothing() {
    let home = Home::new();
    let record = (cid_of_cbor(&note("x")), note("x"));
    let (low, high) = (on_layer(0, 400), on_layer(1, 40));
    let between = |pair: &[Key]| -> Vec<Key> {
        low.iter().filter(|key| **key > pair[0] && **key < pair[1]).cloned().collect()
    };
    let pair = high.windows(2).find(|pair| between(pair).len() > 1).unwrap();
    let inside = leaf(&between(pair), record.0);
    let before: Vec<Key> = low.iter().filter(|key| **key < pair[0]).cloned().collect();
    let first = pair[0].as_bytes();
    let root_over = |left: Option<Cid>, right: Option<Cid>| node(left, &[(first, 0, right, record.0)]);
    let refuse = |name: &str, root: Cid, sections: &[&(Cid, Vec<u8>)]| {
        let sections: Sections = sections.iter().copied().chain([&record]).cloned().collect();
        home.refuses(name, &signed(&home.did, root, &sections))
    };

    let good = root_over(None, Some(inside.0));
    let twice = root_over(Some(inside.0), Some(inside.0));
    refuse("a subtree twice, out of order", twice.0, &[&twice, &inside]);
    let wrong_side = root_over(Some(inside.0), None);
    refuse("keys on the wrong side", wrong_side.0, &[&wrong_side, &inside]);
    let left = leaf(&before[..1], record.0);
    let swapped = root_over(Some(inside.0), Some(left.0));
    refuse("subtrees swapped", swapped.0, &[&swapped, &inside, &left]);
    let too_high = leaf(&high[..1], record.0);
    let over_high = root_over(None, Some(too_high.0));
    refuse("a key above its layer", over_high.0, &[&over_high, &too_high]);
    let mixed = leaf(&[low[0].clone(), high[0].clone()], record.0);
    refuse("keys of two layers in a node", mixed.0, &[&mixed]);
    let empty = node(None, &[]);
    let over_empty = root_over(Some(empty.0), None);
    refuse("an empty node", over_empty.0, &[&over_empty, &empty]);
    let rung = node(Some(inside.0), &[]);
    refuse("a root without a key", rung.0, &[&rung, &inside]);
    // A tree over itself cannot be made with hashes that hold; the nearest is one that names itself by another's.
    let looped = node(Some(good.0), &[(first, 0, None, record.0)]);
    refuse("a tree within a tree of its height", looped.0, &[&looped, &good, &inside]);
    let falling = {
        let prefix = common_prefix(low[1].as_bytes(), low[0].as_bytes());
        let (one, two) = (low[1].as_bytes(), &low[0].as_bytes()[prefix..]);
        node(None, &[(one, 0, None, record.0), (two, prefix as u64, None, record.0)])
    };
    refuse("falling keys", falling.0, &[&falling]);
    let unshared =
        node(None, &[(low[0].as_bytes(), 0, None, record.0), (low[1].as_bytes(), 0, None, record.0)]);
    refuse("prefixes that are not shared", unshared.0, &[&unshared]);
    let raw_child = root_over(Some(cid_of_raw(&inside.1)), None);
    refuse(
        "a subtree of the raw codec",
        raw_child.0,
        &[&raw_child, &(cid_of_raw(&inside.1), inside.1.clone())],
    );
    let raw_record = node(None, &[(low[0].as_bytes(), 0, None, cid_of_raw(b"x"))]);
    refuse("a record of the raw codec", raw_record.0, &[&raw_record, &(cid_of_raw(b"x"), b"x".to_vec())]);
    let wide = leaf(&low[..=MAX_ENTRIES_PER_NODE], record.0);
    refuse("a node that is too wide", wide.0, &[&wide]);
    refuse("a record for a tree", record.0, &[]);

    let sections: Sections = vec![good.clone(), inside, record];
    home.import(&signed(&home.did, good.0, &sections)).unwrap();
}

#[test]
fn records_that_are_none_change_nothing() {
    let home = Home::new();
    let with = |key: &str, block: Vec<u8>| {
        let key = Key::parse(key).unwrap();
        let nodes = NodeMap::empty_tree();
        let mut edit = Edit::new(&nodes, empty_root());
        edit.put(key, cid_of_cbor(&block)).unwrap();
        let change = edit.finish().unwrap();
        let mut sections: Sections =
            change.created.iter().map(|node| (node.cid, node.bytes.clone())).collect();
        sections.push((cid_of_cbor(&block), block));
        signed(&home.did, change.root, &sections)
    };
    let path = "com.example.note/self";
    let deep = [vec![0xa1, 0x61, b'a'], vec![0x81; 60_000], vec![0]].concat();
    let large = {
        let mut writer = Writer::new();
        writer.map(1).text("text").text(&"x".repeat(1024 * 1024));
        writer.into_bytes()
    };
    let float = vec![0xa1, 0x61, b'a', 0xfb, 0, 0, 0, 0, 0, 0, 0, 0];
    for (name, block) in [
        ("no map", vec![0x80]),
        ("deep", deep),
        ("large", large),
        ("a float", float),
        ("cut", vec![0xa1, 0x61, b'a']),
        ("more behind it", vec![0xa0, 0]),
        ("keys out of order", vec![0xa2, 0x61, b'b', 0, 0x61, b'a', 0]),
        ("a key of JSON", vec![0xa1, 0x65, b'$', b'l', b'i', b'n', b'k', 0]),
        ("junk", b"junk".to_vec()),
    ] {
        home.refuses(name, &with(path, block));
    }
    for key in ["note/self", "com.example.note/.", "com.example.note/..", "com.example.9note-/x"] {
        home.refuses(key, &with(key, note("x")));
    }
    home.import(&with(path, note("x"))).unwrap();
}

#[test]
fn a_car_that_never_ends_ends_at_the_limit() {
    let home = Home::new();
    let method = table::find(IMPORT).unwrap();
    let mut import = begin(&home.context(), method, Some(&home.token(Scope::Access))).unwrap();
    let mut piece = Vec::new();
    let block = vec![7; 1_000_000];
    car::block(&mut piece, &cid_of_raw(&block), &block);
    push(home.config(), &mut import, &car::header(&empty_root())).unwrap();
    let error = (0..1_000).find_map(|_| push(home.config(), &mut import, &piece).err()).unwrap();
    assert_eq!((error.status(), error.error()), (413, "PayloadTooLarge"));
}

#[test]
fn only_the_account_itself_in_full_may_import() {
    let home = Home::new();
    let method = table::find(IMPORT).unwrap();
    let begins = |token: Option<&str>| begin(&home.context(), method, token).map(drop);
    assert!(begins(Some(&home.token(Scope::Access))).is_ok());
    assert_eq!(begins(None).unwrap_err().error(), "AuthMissing");
    for scope in [Scope::AppPassword, Scope::PrivilegedAppPassword, Scope::Takendown, Scope::Refresh] {
        assert_eq!(begins(Some(&home.token(scope))).unwrap_err().error(), "InvalidToken");
    }
    let error = |content_type: Option<&str>, length: Option<u64>| {
        check(home.config(), content_type, length).unwrap_err().error().to_owned()
    };
    let car = "application/vnd.ipld.car";
    assert!(check(home.config(), Some(car), Some(1000)).is_ok());
    assert_eq!(error(None, None), "InvalidRequest");
    assert_eq!(error(Some("application/json"), None), "InvalidRequest");
    assert_eq!(error(Some(car), Some(1 << 40)), "PayloadTooLarge");
}

#[test]
fn every_key_that_the_did_has_ever_named_may_have_signed() {
    let world = World::new();
    let rotation = signing_key(3);
    let handle = Handle::parse("alice.test").unwrap();
    let state = |secret: u8| {
        State::atproto(
            &handle,
            &signing_key(secret).did_key(),
            "https://old.example",
            vec![rotation.did_key()],
        )
    };
    let genesis = Operation::genesis(state(11), &rotation).unwrap();
    let second = Operation::update(&genesis.cid(), state(12), &rotation).unwrap();
    let third = Operation::update(&second.cid(), state(11), &rotation).unwrap();
    let did = genesis.did().unwrap();
    world.network.log.borrow_mut().insert(did.clone(), vec![genesis, second, third]);
    let keys = block_on(world.host().import_keys(&did)).unwrap();
    assert_eq!(keys, [signing_key(11).did_key(), signing_key(12).did_key()]);
    world.network.plc_is_away.set(true);
    assert_eq!(block_on(world.host().import_keys(&did)).unwrap_err().error(), "UpstreamFailure");
}

#[test]
fn missing_blobs_are_listed_in_pages() {
    let home = Home::new();
    let mut nodes = NodeMap::empty_tree();
    let mut edit = Edit::new(&nodes, empty_root());
    let mut sections: Sections = Vec::new();
    for n in 0..5_u8 {
        let mut writer = Writer::new();
        writer.map(1).text("file").map(4).text("ref").link(&cid_of_raw(&[n])).text("size").uint(1);
        writer.text("$type").text("blob").text("mimeType").text("text/plain");
        let block = writer.into_bytes();
        edit.put(Key::parse(&format!("com.example.file/{n}")).unwrap(), cid_of_cbor(&block)).unwrap();
        sections.push((cid_of_cbor(&block), block));
    }
    let change = edit.finish().unwrap();
    nodes.apply(&change);
    sections.extend(change.created.iter().map(|node| (node.cid, node.bytes.clone())));
    home.import(&signed(&home.did, change.root, &sections)).unwrap();

    let nsid = "com.atproto.repo.listMissingBlobs";
    let first = home.get(nsid, &[("limit", "3")]).unwrap();
    let second = home.get(nsid, &[("limit", "3"), ("cursor", first["cursor"].as_str().unwrap())]).unwrap();
    let mut found: Vec<(String, String)> = Vec::new();
    for page in [&first, &second] {
        let text = |blob: &Value, name: &str| blob[name].as_str().unwrap().to_owned();
        found.extend(
            page["blobs"].as_array().unwrap().iter().map(|blob| (text(blob, "cid"), text(blob, "recordUri"))),
        );
    }
    let mut wanted: Vec<(String, String)> = (0..5_u8)
        .map(|n| (cid_of_raw(&[n]).to_string(), format!("at://{}/com.example.file/{n}", home.did)))
        .collect();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let end = home.get(nsid, &[("cursor", second["cursor"].as_str().unwrap())]).unwrap();
    assert_eq!(end, serde_json::json!({ "blobs": [] }));
    assert_eq!(home.get(nsid, &[("cursor", "x")]).unwrap_err().error(), "InvalidRequest");
}
