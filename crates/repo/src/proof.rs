//! Proofs: of one record, of its absence, and of a change.

use std::rc::Rc;

use murmuration_keys::VerifyingKey;
use murmuration_syntax::Did;

use crate::{Cid, Commit, Key, Node, NodeMap, Nodes, Partial, RepoError, car};

/// What a tree holds at a path, and the nodes that prove it.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The record's CID; none when the tree has no record there.
    pub value: Option<Cid>,
    /// The nodes from the root to the record, or to where its absence is certain.
    pub nodes: Vec<(Cid, Rc<Node>)>,
}

/// Proves that a tree has a record at a path, or that it has none.
///
/// The way goes all the way down, so that the proof also serves readers that do not conclude from a key's layer that it
/// cannot be further down.
///
/// # Errors
/// Whatever keeps a node from being loaded.
pub fn proof(nodes: &dyn Nodes, root: Cid, path: impl Into<Key>) -> Result<Proof, RepoError> {
    let key = path.into();
    let mut way = Vec::new();
    let mut next = Some((root, nodes.node(&root)?));
    while let Some((cid, node)) = next {
        let place = node.search(&key);
        way.push((cid, Rc::clone(&node)));
        next = match place {
            Ok(index) => {
                let value = node.entries().get(index).map(|entry| entry.value);
                return Ok(Proof { value, nodes: way });
            }
            Err(index) => child(nodes, &node, index)?,
        };
    }
    Ok(Proof { value: None, nodes: way })
}

/// The nodes that a reader needs to undo operations on these paths: for each the way to it, and the ways to its
/// neighbours on both sides, in the tree after the operations.
///
/// To undo a creation is to merge what the record has parted, all the way down on both sides; to undo a deletion is to
/// part what it has merged. That is a superset of [`proof`] and of the nodes that the operations have made; it makes
/// any order of undoing work (<https://github.com/bluesky-social/proposals/tree/main/0006-sync-iteration>).
///
/// # Errors
/// Whatever keeps a node from being loaded.
pub fn covering_proof<'k>(
    nodes: &dyn Nodes,
    root: Cid,
    paths: impl IntoIterator<Item = &'k Key>,
) -> Result<NodeMap, RepoError> {
    let mut covered = NodeMap::new();
    for key in paths {
        let mut next = Some((root, nodes.node(&root)?));
        while let Some((cid, node)) = next.take() {
            match node.search(key) {
                Err(index) => next = child(nodes, &node, index)?,
                Ok(index) => {
                    edge(nodes, &mut covered, child(nodes, &node, index)?, |node| node.entries().len())?;
                    edge(nodes, &mut covered, child(nodes, &node, index + 1)?, |_| 0)?;
                }
            }
            covered.insert(cid, node);
        }
    }
    Ok(covered)
}

/// Adds the nodes along one edge of a subtree.
fn edge(
    nodes: &dyn Nodes,
    covered: &mut NodeMap,
    mut next: Option<(Cid, Rc<Node>)>,
    outermost: impl Fn(&Node) -> usize,
) -> Result<(), RepoError> {
    while let Some((cid, node)) = next {
        next = child(nodes, &node, outermost(&node))?;
        covered.insert(cid, node);
    }
    Ok(())
}

pub(crate) fn child(
    nodes: &dyn Nodes,
    node: &Node,
    index: usize,
) -> Result<Option<(Cid, Rc<Node>)>, RepoError> {
    match (node.child(index), node.layer().checked_sub(1)) {
        (Some(cid), Some(layer)) => Ok(Some((cid, nodes.child(&cid, layer)?))),
        _ => Ok(None),
    }
}

/// What a foreign repository was proved to hold at a path.
#[derive(Clone, Debug)]
pub struct Proven {
    /// The commit that vouches for it.
    pub commit: Commit,
    /// The record's CID; none when the absence of a record was proved.
    pub value: Option<Cid>,
    /// The record's block, where the proof carries it.
    pub record: Option<Vec<u8>>,
}

/// Verifies a proof as `com.atproto.sync.getRecord` sends it: a CAR whose root is a commit of `did`, signed with `key`,
/// and nodes that lead to the record at `path` or show that there is none.
///
/// # Errors
/// The first thing that is wrong; [`RepoError::MissingBlock`] when the proof stops short.
pub fn verify_proof(
    car: &[u8],
    did: &Did,
    key: &VerifyingKey,
    path: impl Into<Key>,
) -> Result<Proven, RepoError> {
    let path = path.into();
    let car = car::Car::read(car, car::Limits::EVENT)?;
    let block = |cid: &Cid| car.blocks.get(cid).map(AsRef::as_ref);
    let root = car.root()?;
    let commit = Commit::decode(block(&root).ok_or(RepoError::MissingBlock(root))?)?;
    if commit.did != *did {
        return Err(RepoError::WrongDid);
    }
    commit.verify(key)?;
    let nodes = Partial::load(commit.data, block)?;
    let value = get_by_layer(&nodes, commit.data, &path)?;
    let record = value.and_then(|cid| block(&cid)).map(<[u8]>::to_vec);
    Ok(Proven { commit, value, record })
}

/// The record at a key, which can only be on the key's own layer: nothing below it is asked for.
fn get_by_layer(nodes: &dyn Nodes, root: Cid, key: &Key) -> Result<Option<Cid>, RepoError> {
    let layer = key.layer();
    let mut node = nodes.node(&root)?;
    loop {
        match node.search(key) {
            Ok(index) => return Ok(node.entries().get(index).map(|entry| entry.value)),
            Err(_) if node.layer() <= layer => return Ok(None),
            Err(index) => match child(nodes, &node, index)? {
                Some((_, below)) => node = below,
                None => return Ok(None),
            },
        }
    }
}
