//! CAR files, version 1: blocks one after another, behind a header that names the roots.
//!
//! A CAR is a sequence of sections, each with its length in front as an unsigned varint. The first is the header,
//! `{roots: [link], version: 1}`; every other is the binary CID of a block and the block. The order of blocks means
//! nothing. The names of blocks are claims: [`Reader`] believes none that it has not hashed.
//!
//! ```
//! use murmuration_repo::{Node, car, empty_root};
//!
//! let mut file = car::header(&empty_root());
//! car::block(&mut file, &empty_root(), &Node::empty().encode());
//! let read = car::Car::read(&file, car::Limits::EVENT)?;
//! assert_eq!(read.root()?, empty_root());
//! # Ok::<(), murmuration_repo::RepoError>(())
//! ```
//!
//! Specification: <https://ipld.io/specs/transport/car/carv1/>, <https://atproto.com/specs/repository#car-file-serialization>.

mod reader;
mod writer;

pub(crate) use reader::only_root;
pub use reader::{Car, Found, Limits, Reader};
pub use writer::{block, block_len, header, header_without_roots};
