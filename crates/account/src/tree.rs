//! The tree of an account: nodes by CID, out of packed pages.
//!
//! Pages change only at a *checkpoint*. Between two of them the nodes that were made since (`fresh`) live in memory and
//! the log holds what is needed to make them again; so a commit writes no page at all, and a checkpoint writes a page
//! once for all the commits that touched it. The nodes that edits have loaded stay in memory until then, because a
//! fresh node may have children in a page whose topmost node is gone from the tree.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use murmuration_data::Cid;
use murmuration_platform::{Param, Store, StoreError};
use murmuration_repo::{Change, Node, Nodes, RepoError};
use murmuration_syntax::Rev;

use crate::AccountError;
use crate::page::{self, Leaf};

/// Decoded nodes that stay in memory across a checkpoint: about 2 MB, this object's share of its isolate.
const MAX_CACHED_NODES: usize = 4096;

/// Reads every page's key.
const SELECT_ROOTS: &str = "SELECT root FROM page";
/// Reads 1 row.
const SELECT_PAGE: &str = "SELECT body FROM page WHERE root = ?1";
/// Writes 1 row.
const UPSERT_PAGE: &str =
    "INSERT INTO page (root, body) VALUES (?1, ?2) ON CONFLICT (root) DO UPDATE SET body = excluded.body";
/// Writes 1 row: a page that is gone makes room for a new one.
const REPLACE_PAGE: &str = "UPDATE page SET root = ?1, body = ?2 WHERE root = ?3";
/// Writes 1 row.
const DELETE_PAGE: &str = "DELETE FROM page WHERE root = ?1";

/// The tree of one account, at its head.
pub(crate) struct Tree {
    store: Rc<dyn Store>,
    root: Cid,
    /// The root that the pages hold, and its layer; `None` before the first checkpoint.
    stored: Option<(Cid, u32)>,
    /// Nodes out of pages that edits have loaded.
    loaded: RefCell<BTreeMap<Cid, Leaf>>,
    /// Nodes made since the checkpoint and still in the tree.
    fresh: BTreeMap<Cid, Leaf>,
    /// Topmost nodes of stored pages that are no longer in the tree.
    gone: BTreeSet<Cid>,
}

impl Tree {
    /// The tree whose pages hold `root`.
    pub(crate) fn open(store: Rc<dyn Store>, root: Cid) -> Result<Self, AccountError> {
        let mut tree = Self::new(store, root);
        let layer = tree.node(&root)?.layer();
        tree.stored = Some((root, layer));
        Ok(tree)
    }

    /// A tree of nothing but the empty node, not stored yet.
    pub(crate) fn empty(store: Rc<dyn Store>, change: &Change, rev: Rev) -> Self {
        let mut tree = Self::new(store, change.root);
        tree.apply(change, rev);
        tree
    }

    fn new(store: Rc<dyn Store>, root: Cid) -> Self {
        Self {
            store,
            root,
            stored: None,
            loaded: RefCell::default(),
            fresh: BTreeMap::new(),
            gone: BTreeSet::new(),
        }
    }

    /// The CID of the topmost node.
    pub(crate) const fn root(&self) -> Cid {
        self.root
    }

    /// Takes over a change that `rev` has made.
    pub(crate) fn apply(&mut self, change: &Change, rev: Rev) {
        for (cid, layer) in &change.removed {
            if self.fresh.remove(cid).is_none() && page::tops_a_page(*layer) {
                self.gone.insert(*cid);
            }
        }
        for made in &change.created {
            self.fresh.insert(made.cid, Leaf { node: Rc::clone(&made.node), rev });
        }
        self.root = change.root;
    }

    /// Pages that a checkpoint would write now.
    pub(crate) fn dirty_pages(&self) -> usize {
        let topmost =
            |(cid, leaf): &(&Cid, &Leaf)| page::tops_a_page(leaf.node.layer()) || **cid == self.root;
        self.fresh.iter().filter(topmost).count()
    }

    /// Writes every page that differs from the tree. `replaced` sees each page's key and body before it is lost.
    ///
    /// Memory follows at once: when the transaction fails, the whole tree is dropped and opened again.
    pub(crate) fn checkpoint(
        &mut self,
        keeps_old: bool,
        replaced: &mut dyn FnMut(Cid, Vec<u8>),
    ) -> Result<(), AccountError> {
        let (writes, dead) = self.plan()?;
        let mut lose = |store: &dyn Store, old: &Cid| -> Result<(), StoreError> {
            if keeps_old && let Some(body) = body_of(store, old)? {
                replaced(*old, body);
            }
            Ok(())
        };
        let mut room = dead.iter();
        for root in &writes {
            let body = self.body(root)?;
            // A page whose topmost node went and came back stands under this key already.
            let old = if self.gone.contains(root) { None } else { room.next() };
            match old {
                Some(old) => {
                    lose(&*self.store, old)?;
                    let (key, old) = (root.to_bytes(), old.to_bytes());
                    let params = [Param::Blob(&key), Param::Blob(&body), Param::Blob(&old)];
                    self.store.query(REPLACE_PAGE, &params)?;
                }
                None => put_page(&*self.store, root, &body)?,
            }
        }
        for old in room {
            lose(&*self.store, old)?;
            delete_page(&*self.store, old)?;
        }
        self.stored = Some((self.root, self.node(&self.root)?.layer()));
        self.gone.clear();
        let loaded = self.loaded.get_mut();
        loaded.append(&mut self.fresh);
        if loaded.len() > MAX_CACHED_NODES {
            loaded.clear();
        }
        Ok(())
    }

    /// The pages to write and the pages to lose, by their topmost nodes.
    fn plan(&self) -> Result<(BTreeSet<Cid>, BTreeSet<Cid>), AccountError> {
        let topmost = self.fresh.iter().filter(|(_, leaf)| page::tops_a_page(leaf.node.layer()));
        let mut writes: BTreeSet<Cid> = topmost.map(|(cid, _)| *cid).collect();
        let mut dead = self.gone.clone();
        // The root is the topmost node of its page whatever its layer, but only as long as it is the root.
        let moved = self.stored.is_none_or(|(stored, _)| stored != self.root);
        if moved && !page::tops_a_page(self.node(&self.root)?.layer()) {
            writes.insert(self.root);
        }
        if let Some((stored, layer)) = self.stored
            && moved
            && !page::tops_a_page(layer)
        {
            dead.insert(stored);
        }
        dead.retain(|cid| !writes.contains(cid));
        Ok((writes, dead))
    }

    /// The body of the page under `root`.
    fn body(&self, root: &Cid) -> Result<Vec<u8>, AccountError> {
        let mut body = page::begin(self.leaf(root)?.node.layer());
        let mut stack = vec![*root];
        while let Some(cid) = stack.pop() {
            let leaf = self.leaf(&cid)?;
            page::push(&mut body, leaf.rev, &leaf.node.encode());
            if leaf.node.layer() > 0 && !page::tops_a_page(leaf.node.layer() - 1) {
                stack.extend(leaf.node.children().rev());
            }
        }
        Ok(body)
    }

    fn leaf(&self, cid: &Cid) -> Result<Leaf, RepoError> {
        if let Some(leaf) = self.fresh.get(cid) {
            return Ok(leaf.clone());
        }
        if let Some(leaf) = self.loaded.borrow().get(cid) {
            return Ok(leaf.clone());
        }
        load(&*self.store, cid, &mut |cid, leaf| {
            self.loaded.borrow_mut().insert(cid, leaf);
        })?;
        self.loaded.borrow().get(cid).cloned().ok_or(RepoError::MissingBlock(*cid))
    }

    /// A view that leaves no trace in memory: for reads that may touch the whole tree.
    pub(crate) const fn reader(&self) -> Reader<'_> {
        Reader { tree: self, seen: RefCell::new(BTreeMap::new()) }
    }

    /// A view that stays as it is while the account goes on.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut held = self.loaded.borrow().clone();
        held.extend(self.fresh.iter().map(|(cid, leaf)| (*cid, leaf.clone())));
        Snapshot { store: Rc::clone(&self.store), held, seen: BTreeMap::new() }
    }
}

impl Nodes for Tree {
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError> {
        self.leaf(cid).map(|leaf| leaf.node)
    }
}

/// See [`Tree::reader`].
pub(crate) struct Reader<'a> {
    tree: &'a Tree,
    seen: RefCell<BTreeMap<Cid, Leaf>>,
}

impl Nodes for Reader<'_> {
    fn node(&self, cid: &Cid) -> Result<Rc<Node>, RepoError> {
        let known = |leaf: &Leaf| Rc::clone(&leaf.node);
        if let Some(node) = self.tree.fresh.get(cid).map(known) {
            return Ok(node);
        }
        if let Some(node) = self.tree.loaded.borrow().get(cid).map(known) {
            return Ok(node);
        }
        if let Some(node) = self.seen.borrow().get(cid).map(known) {
            return Ok(node);
        }
        load(&*self.tree.store, cid, &mut |cid, leaf| {
            self.seen.borrow_mut().insert(cid, leaf);
        })?;
        self.seen.borrow().get(cid).map(known).ok_or(RepoError::MissingBlock(*cid))
    }
}

/// See [`Tree::snapshot`].
pub(crate) struct Snapshot {
    store: Rc<dyn Store>,
    held: BTreeMap<Cid, Leaf>,
    /// Nodes of the pages that lie open; each is taken out when it is read, as a walk reads it once.
    seen: BTreeMap<Cid, Leaf>,
}

impl Snapshot {
    /// Takes a node out of the snapshot. `lost` answers the body of a page that a checkpoint has replaced meanwhile.
    pub(crate) fn take(
        &mut self,
        cid: &Cid,
        lost: &dyn Fn(&Cid) -> Option<Rc<[u8]>>,
    ) -> Result<Leaf, AccountError> {
        if let Some(leaf) = self.held.get(cid) {
            return Ok(leaf.clone());
        }
        if let Some(leaf) = self.seen.remove(cid) {
            return Ok(leaf);
        }
        let seen = &mut self.seen;
        let mut keep = |cid, leaf| {
            seen.insert(cid, leaf);
        };
        match lost(cid) {
            Some(body) => page::read(*cid, &body, &mut keep)?,
            None => load(&*self.store, cid, &mut keep)?,
        }
        self.seen.remove(cid).ok_or(AccountError::Repo(RepoError::MissingBlock(*cid)))
    }
}

/// Reads the page under `root`, if there is one.
fn load(store: &dyn Store, root: &Cid, found: &mut dyn FnMut(Cid, Leaf)) -> Result<(), RepoError> {
    let source = |error: StoreError| RepoError::Source(error.to_string());
    match body_of(store, root).map_err(source)? {
        Some(body) => page::read(*root, &body, found).map_err(source),
        None => Err(RepoError::MissingBlock(*root)),
    }
}

/// The page under `root` as it is stored, if there is one.
pub(crate) fn body_of(store: &dyn Store, root: &Cid) -> Result<Option<Vec<u8>>, StoreError> {
    store.query(SELECT_PAGE, &[Param::Blob(&root.to_bytes())])?.pop().map(|mut row| row.blob(0)).transpose()
}

/// The pages that are stored, by their topmost nodes.
pub(crate) fn pages(store: &dyn Store) -> Result<Vec<Cid>, StoreError> {
    let cid = |bytes: Vec<u8>| Cid::try_from(bytes).map_err(|error| StoreError::Corrupt(error.to_string()));
    store.query(SELECT_ROOTS, &[])?.into_iter().map(|mut row| cid(row.blob(0)?)).collect()
}

pub(crate) fn put_page(store: &dyn Store, root: &Cid, body: &[u8]) -> Result<(), StoreError> {
    store.query(UPSERT_PAGE, &[Param::Blob(&root.to_bytes()), Param::Blob(body)]).map(drop)
}

pub(crate) fn delete_page(store: &dyn Store, root: &Cid) -> Result<(), StoreError> {
    store.query(DELETE_PAGE, &[Param::Blob(&root.to_bytes())]).map(drop)
}
