//! The documents at hand, each read when it is first asked for.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::document::{Definition, Record};
use crate::schema::{MAIN, Reference};
use crate::{Document, LexiconError, Method};

/// A set of lexicon documents by NSID.
///
/// [`Catalog::builtin`] has those that come with this crate. Their text is part of the program, and a document is read
/// at its first use and kept: a Worker that only ever writes posts reads a dozen of some three hundred.
#[derive(Debug, Default)]
pub struct Catalog {
    entries: BTreeMap<Cow<'static, str>, Entry>,
}

#[derive(Debug)]
struct Entry {
    text: &'static str,
    document: OnceLock<Result<Document, LexiconError>>,
}

impl Catalog {
    /// A catalog without a document.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The documents of `com.atproto.*`, `app.bsky.*` and of this project.
    pub fn builtin() -> &'static Self {
        static BUILTIN: OnceLock<Catalog> = OnceLock::new();
        BUILTIN.get_or_init(|| {
            let entry = |text| Entry { text, document: OnceLock::new() };
            Self { entries: DOCUMENTS.iter().map(|&(id, text)| (Cow::Borrowed(id), entry(text))).collect() }
        })
    }

    /// Adds a document, in place of another of its name.
    pub fn insert(&mut self, document: Document) {
        let id = Cow::Owned(document.id().to_string());
        self.entries.insert(id, Entry { text: "", document: OnceLock::from(Ok(document)) });
    }

    /// The NSIDs of all documents, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(|id| &**id)
    }

    /// The document of this NSID.
    ///
    /// # Errors
    /// [`LexiconError::NotFound`]; [`LexiconError::Document`] when a document that comes with the crate is not well
    /// formed, which its tests exclude.
    pub fn document(&self, id: &str) -> Result<&Document, LexiconError> {
        let entry =
            self.entries.get(id).ok_or_else(|| LexiconError::NotFound { reference: id.to_owned() })?;
        entry.document.get_or_init(|| read(entry.text)).as_ref().map_err(Clone::clone)
    }

    /// The method of this NSID.
    ///
    /// # Errors
    /// As [`Catalog::document`]; [`LexiconError::Kind`] when the NSID is not that of a method.
    pub fn method(&self, id: &str) -> Result<&Method, LexiconError> {
        match self.document(id)?.definitions.get(MAIN) {
            Some(Definition::Method(method)) => Ok(method),
            _ => Err(LexiconError::Kind {
                reference: id.to_owned(),
                wanted: "query, procedure or subscription",
            }),
        }
    }

    /// The kind of record of this NSID, where it is known and is one.
    pub(crate) fn record(&self, id: &str) -> Result<Option<&Record>, LexiconError> {
        match self.document(id) {
            Ok(document) => match document.definitions.get(MAIN) {
                Some(Definition::Record(record)) => Ok(Some(record)),
                _ => Ok(None),
            },
            Err(LexiconError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What stands under a name.
    pub(crate) fn definition(&self, reference: &Reference) -> Result<&Definition, LexiconError> {
        let not_found = || LexiconError::NotFound { reference: reference.to_string() };
        match self.document(&reference.document) {
            Ok(document) => document.definitions.get(&reference.name).ok_or_else(not_found),
            Err(LexiconError::NotFound { .. }) => Err(not_found()),
            Err(error) => Err(error),
        }
    }
}

fn read(text: &str) -> Result<Document, LexiconError> {
    let json = serde_json::from_str(text)
        .map_err(|_| LexiconError::Document { path: "Lexicon".to_owned(), rule: "must be JSON" })?;
    Document::parse(&json)
}

/// The documents that come with the crate: NSID and JSON, in the order of the NSIDs. Written by `build.rs`.
static DOCUMENTS: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/documents.rs"));
