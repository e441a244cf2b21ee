//! The repository of an account: a Merkle search tree of records, under a signed commit.
//!
//! A repository is a map from paths (`collection/rkey`) to records. The map is a search tree whose shape follows from
//! its keys alone, so that equal maps have equal trees, and whose nodes name each other by hash, so that one signature
//! over the root's CID, the [`Commit`], vouches for every record. This crate reads, changes, proves, compares and
//! carries such trees. It does no I/O: nodes come through the trait [`Nodes`], and blocks go as bytes.
//!
//! A write goes like this:
//!
//! ```
//! use murmuration_repo::{Edit, Key, NodeMap, Overlay, covering_proof, empty_root, invert};
//! # let record = empty_root();
//!
//! let mut nodes = NodeMap::empty_tree();
//! let mut edit = Edit::new(&nodes, empty_root());
//! edit.put(Key::parse("app.bsky.feed.post/3jzfcijpj2z2a")?, record)?;
//! let change = edit.finish()?;
//!
//! // What an event must carry besides the new nodes, so that its readers can undo the operations ...
//! let made = change.nodes();
//! let after = Overlay { upper: &made, lower: &nodes };
//! let proof = covering_proof(&after, change.root, change.ops.iter().map(|op| &op.path))?;
//! // ... as they do, and as this host does before it lets the event out.
//! assert_eq!(invert(&proof, change.root, &change.ops)?, change.prev_root);
//!
//! nodes.apply(&change);
//! # Ok::<(), murmuration_repo::RepoError>(())
//! ```
//!
//! | to | use |
//! |---|---|
//! | read and write nodes | [`Node`], [`Nodes`], [`NodeMap`], [`Overlay`] |
//! | change a tree | [`Edit`], which gives a [`Change`] |
//! | go through a tree | [`Walk`] |
//! | prove one record, or its absence | [`proof`], [`verify_proof`] |
//! | prove a change | [`covering_proof`], [`invert`], with [`Partial`] for foreign blocks |
//! | compare two trees | [`diff`] |
//! | sign and verify | [`Commit`] |
//! | carry blocks | [`mod@car`] |
//! | take in a whole repository | [`Import`] |
//!
//! Everything foreign is hostile until checked; the limits that bound the harm are in this page's constants.
//! Specification: <https://atproto.com/specs/repository>, <https://atproto.com/specs/sync>.

pub mod car;
mod change;
mod commit;
mod diff;
mod edit;
mod error;
mod import;
mod invert;
mod key;
mod limits;
mod node;
mod nodes;
mod partial;
mod proof;
mod tree;
mod walk;

pub use change::{Action, Change, Created, RecordOp};
pub use commit::Commit;
pub use diff::{Diff, diff};
pub use edit::Edit;
pub use error::RepoError;
pub use import::{Held, Import, Imported, ImportedRecord, Whole, import};
pub use invert::invert;
pub use key::{Key, common_prefix, layer_of};
pub use limits::{
    MAX_CAR_HEADER_BYTES, MAX_CLIENT_LAYER, MAX_COMMIT_BYTES, MAX_ENTRIES_PER_NODE, MAX_EVENT_CAR_BLOCKS,
    MAX_EVENT_CAR_BYTES, MAX_IMPORT_BLOCKS, MAX_IMPORT_BYTES, MAX_KEY_BYTES, MAX_LAYER, MAX_NODE_BYTES,
    MAX_RECORD_BYTES,
};
pub use node::{Entry, Node, empty_root};
pub use nodes::{NodeMap, Nodes, Overlay};
pub use partial::Partial;
pub use proof::{Proof, Proven, covering_proof, proof, verify_proof};
pub use walk::{Step, Walk};

use murmuration_data::Cid;
