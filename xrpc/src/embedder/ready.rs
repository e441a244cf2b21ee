//! Vectors that were asked for before a turn.

use std::collections::BTreeMap;
use std::future::{pending, ready};

use murmuration_platform::{EmbedFuture, Embedder};

/// An embedder that knows some texts, and is still waited for with all others.
#[derive(Clone, Debug, Default)]
pub struct Ready {
    id: String,
    vectors: BTreeMap<String, Vec<f32>>,
}

impl Ready {
    /// What the embedder of this id has made of texts; of none, where it did not answer.
    #[must_use]
    pub fn new(id: &str, vectors: impl IntoIterator<Item = (String, Vec<f32>)>) -> Self {
        Self { id: id.to_owned(), vectors: vectors.into_iter().collect() }
    }
}

impl Embedder for Ready {
    fn id(&self) -> &str {
        &self.id
    }

    fn embed<'a>(&'a self, texts: &'a [&'a str]) -> EmbedFuture<'a> {
        let known: Option<Vec<_>> = texts.iter().map(|text| self.vectors.get(*text).cloned()).collect();
        match known {
            Some(vectors) => Box::pin(ready(Ok(vectors))),
            None => Box::pin(pending()),
        }
    }
}
