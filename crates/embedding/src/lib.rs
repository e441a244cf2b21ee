//! Text to vectors without a network: a static embedding model, its tokenizer, and the vectors themselves.
//!
//! A [`Model`] is a table with a row for every piece of a word that it knows. A text's vector is the sum of the rows of its
//! pieces, each weighted by the square root of how often it occurs, scaled to length one. So embedding a text costs
//! microseconds and needs no matrix, no graphics card and no other host; the price is that the order of words is lost. How
//! much that costs in recall is measured by `cargo xtask bench memory` and written down in `docs/benchmarks.md`.
//!
//! A [`Vector`] is what is kept and compared: whole numbers of eight bits, from whatever model. Vectors of different models
//! say nothing about each other, so whoever keeps a vector keeps its [`Model::id`] beside it.
//!
//! ```
//! use murmuration_embedding::{Model, ModelTable, Vector};
//!
//! let table = ModelTable {
//!     name: "two words".into(),
//!     dims: 2,
//!     pieces: vec![("[UNK]".into(), vec![0.0, 0.0]), ("cat".into(), vec![1.0, 0.1]), ("dog".into(), vec![0.9, 0.3])],
//! };
//! let model = Model::read(table.to_bytes()?)?;
//! let (cat, dog) = (model.embed("A cat!"), model.embed("dog"));
//! let likeness = cat.zip(dog).map(|(cat, dog)| cat.cosine(&dog));
//! assert!(likeness.is_some_and(|likeness| likeness > 0.9));
//! # Ok::<(), murmuration_embedding::EmbeddingError>(())
//! ```
//!
//! How the model of this project is made is written in `model/README.md` beside this crate.

mod dot;
mod error;
mod fold;
mod model;
mod pieces;
mod read;
mod table;
mod vector;

pub use dot::dot;
pub use error::EmbeddingError;
pub use fold::{Kind, fold, kind};
pub use model::{MAX_TEXT_BYTES, Model};
pub use table::ModelTable;
pub use vector::{MAX_DIMS, Vector, inverse_length};
