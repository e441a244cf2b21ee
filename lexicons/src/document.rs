//! A lexicon document, read: <https://atproto.com/specs/lexicon#lexicon-files>.

use std::collections::BTreeMap;

use murmuration_syntax::{Nsid, RecordKey, Tid};
use serde_json::Value;

use crate::schema::{Object, Schema, Union};
use crate::{LexiconError, parse};

/// A lexicon document: an NSID and the definitions under it.
#[derive(Clone, Debug)]
pub struct Document {
    pub(crate) id: Nsid,
    pub(crate) definitions: BTreeMap<Box<str>, Definition>,
}

impl Document {
    /// Reads a document from JSON.
    ///
    /// Members that the specification does not know are ignored, so that documents of a later day can be read.
    ///
    /// # Errors
    /// [`LexiconError::Document`], which says where and what.
    pub fn parse(json: &Value) -> Result<Self, LexiconError> {
        parse::document(json)
    }

    /// The document's name.
    #[must_use]
    pub fn id(&self) -> &Nsid {
        &self.id
    }

    /// The names of the definitions, in order.
    pub fn definitions(&self) -> impl Iterator<Item = &str> {
        self.definitions.keys().map(|name| &**name)
    }
}

/// What stands under a name in a document.
#[derive(Clone, Debug)]
pub(crate) enum Definition {
    Record(Record),
    Method(Box<Method>),
    /// Read only to see that it is well formed.
    PermissionSet,
    /// A name and nothing more.
    Token,
    Schema(Schema),
}

/// A kind of record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) key: KeyKind,
    pub(crate) object: Object,
}

/// Which keys a record may have: <https://atproto.com/specs/record-key#record-key-types>.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Any,
    Literal(RecordKey),
    Nsid,
    Tid,
}

impl KeyKind {
    /// Reads `any`, `nsid`, `tid` or `literal:…`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "nsid" => Some(Self::Nsid),
            "tid" => Some(Self::Tid),
            _ => RecordKey::parse(text.strip_prefix("literal:")?).ok().map(Self::Literal),
        }
    }

    /// What to say of a key that is of another kind.
    pub(crate) fn refusal(&self, key: &RecordKey) -> Option<String> {
        match self {
            Self::Any => None,
            Self::Literal(literal) => (key != literal).then(|| format!("must be \"{literal}\"")),
            Self::Nsid => Nsid::parse(key.as_str()).is_err().then(|| "must be a valid nsid".to_owned()),
            Self::Tid => Tid::parse(key.as_str()).is_err().then(|| "must be a valid TID".to_owned()),
        }
    }
}

/// A query, a procedure or a subscription.
#[derive(Clone, Debug)]
pub struct Method {
    pub(crate) kind: MethodKind,
    pub(crate) parameters: Object,
    pub(crate) input: Option<Body>,
    pub(crate) output: Option<Body>,
    pub(crate) message: Option<Union>,
    pub(crate) errors: Vec<Box<str>>,
}

/// How a method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MethodKind {
    /// HTTP GET.
    Query,
    /// HTTP POST.
    Procedure,
    /// A WebSocket.
    Subscription,
}

/// The body of a request or of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) encoding: Box<str>,
    pub(crate) schema: Option<Schema>,
}

impl Method {
    /// How the method is called.
    #[must_use]
    pub fn kind(&self) -> MethodKind {
        self.kind
    }

    /// The MIME type of the request's body, where the method takes one: `application/json`; `*/*` for any; several
    /// with commas between.
    #[must_use]
    pub fn input_encoding(&self) -> Option<&str> {
        self.input.as_ref().map(|body| &*body.encoding)
    }

    /// The MIME type of the answer's body, where there is one.
    #[must_use]
    pub fn output_encoding(&self) -> Option<&str> {
        self.output.as_ref().map(|body| &*body.encoding)
    }

    /// The names of the errors that the method declares.
    pub fn errors(&self) -> impl Iterator<Item = &str> {
        self.errors.iter().map(|name| &**name)
    }
}
