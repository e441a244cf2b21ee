//! A page: the nodes of three layers of the tree, in one row.
//!
//! A node of the tree is small and a commit changes one on every layer; a row a node would make each commit cost a
//! dozen billed rows. So the tree is cut into bands of [`BAND_LAYERS`] layers, and the nodes of one band that hang
//! together are one page, about 64 entries. A page is stored under the CID of its topmost node. Because a child is
//! always exactly one layer below its parent, the topmost node of a page is known by its layer alone: it is the top of
//! a band, or the root of the whole tree.
//!
//! The body is the layer of the topmost node (1 byte), then the nodes in preorder: `rev` (8 bytes, big endian), length
//! (4 bytes, big endian), block. A node's CID is not written: it stands in its parent, or is the page's own key. `rev`
//! is the commit that made the node, which is what `getRepo` needs to answer `since`.

use std::rc::Rc;

use murmuration_data::Cid;
use murmuration_platform::StoreError;
use murmuration_repo::Node;
use murmuration_syntax::Rev;

/// Layers of a band: 4^3 = 64 entries a page on average, about 6 kB.
pub(crate) const BAND_LAYERS: u32 = 3;
const REV_BYTES: usize = 8;
const LENGTH_BYTES: usize = 4;

/// A node with the commit that made it.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    pub(crate) node: Rc<Node>,
    pub(crate) rev: Rev,
}

/// Whether a node of this layer is the topmost of its page wherever it stands.
pub(crate) const fn tops_a_page(layer: u32) -> bool {
    layer % BAND_LAYERS == BAND_LAYERS - 1
}

/// Begins the body of a page whose topmost node has this layer.
pub(crate) fn begin(layer: u32) -> Vec<u8> {
    // INVARIANT: layers end at `murmuration_repo::MAX_LAYER`, far below 256.
    vec![u8::try_from(layer).unwrap_or(u8::MAX)]
}

/// Appends one node to a page's body.
pub(crate) fn push(body: &mut Vec<u8>, rev: Rev, block: &[u8]) {
    body.extend_from_slice(&rev.as_u64().to_be_bytes());
    // INVARIANT: a node's block is far below 4 GiB (`murmuration_repo` limits it).
    body.extend_from_slice(&u32::try_from(block.len()).unwrap_or(u32::MAX).to_be_bytes());
    body.extend_from_slice(block);
}

/// Reads a page that was stored under `root`, handing each of its nodes to `found`.
///
/// The blocks are this object's own, so their hashes are not taken again: a node's CID is what its parent says.
pub(crate) fn read(root: Cid, body: &[u8], found: &mut dyn FnMut(Cid, Leaf)) -> Result<(), StoreError> {
    let (layer, mut rest) =
        body.split_first().ok_or_else(|| StoreError::Corrupt("a page is empty".into()))?;
    let mut expected = vec![(root, u32::from(*layer))];
    while let Some((cid, layer)) = expected.pop() {
        let (rev, block) = next(&mut rest)?;
        let node = Node::decode_own(block, layer).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        if node.layer() > 0 && !tops_a_page(node.layer() - 1) {
            // Children are expected in key order, so the last goes onto the stack first.
            let below = node.layer() - 1;
            expected.extend(node.children().rev().map(|child| (child, below)));
        }
        found(cid, Leaf { node: Rc::new(node), rev });
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(StoreError::Corrupt("a page has bytes behind its last node".into()))
    }
}

fn next<'a>(rest: &mut &'a [u8]) -> Result<(Rev, &'a [u8]), StoreError> {
    let cut = || StoreError::Corrupt("a page ends within a node".into());
    let (rev, tail) = rest.split_first_chunk::<REV_BYTES>().ok_or_else(cut)?;
    let (length, tail) = tail.split_first_chunk::<LENGTH_BYTES>().ok_or_else(cut)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| cut())?;
    let (block, tail) = tail.split_at_checked(length).ok_or_else(cut)?;
    *rest = tail;
    let rev =
        Rev::from_u64(u64::from_be_bytes(*rev)).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    Ok((rev, block))
}
