//! A public record as the index sees it, and what an event says of such records.

use murmuration_data::{Cid, Ipld, cbor, json};
use murmuration_embedding::Vector;
use murmuration_firehose::{Event, Frame};
use murmuration_memory::{Essence, moment};
use murmuration_relay::is_indexed;
use murmuration_repo::car::{Car, Limits};
use murmuration_syntax::{Did, Handle, RepoPath, Rev};

use crate::limits::{MAX_RECORD_BYTES, MAX_TAGS};

/// A version of a public record.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// Whose repository it is in.
    pub did: Did,
    /// Where.
    pub path: RepoPath,
    /// Its CID.
    pub cid: Cid,
    /// The revision of the repository with which it came.
    pub rev: Rev,
    /// What it says.
    pub essence: Essence,
    /// When it says that it was made, or else when it came; microseconds since the Unix epoch.
    pub made: u64,
    /// When it ends by itself.
    pub expires: Option<u64>,
    /// The record as JSON.
    pub record: String,
    /// What the embedder has made of it.
    pub embedding: Embedding,
}

/// What an embedder has made of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Embedding {
    /// It was not asked, or did not answer.
    Pending,
    /// It gives none for this text.
    Nothing,
    /// A vector.
    Is(Vector),
}

impl From<Option<Vector>> for Embedding {
    fn from(vector: Option<Vector>) -> Self {
        vector.map_or(Self::Nothing, Self::Is)
    }
}

impl Document {
    /// The document of a record; `None` for one that is too large.
    #[must_use]
    pub fn of(did: &Did, path: &RepoPath, cid: Cid, rev: Rev, value: &Ipld) -> Option<Self> {
        let record = json::to_string(value);
        if record.len() > MAX_RECORD_BYTES {
            return None;
        }
        let mut essence =
            if path.collection.as_str() == PROFILE { essence_of_profile(value) } else { Essence::of(value) };
        essence.tags.truncate(MAX_TAGS);
        let time = |name| text(value, name).and_then(moment);
        let made = time("createdAt").unwrap_or_else(|| rev.micros());
        let (did, path, embedding) = (did.clone(), path.clone(), Embedding::Pending);
        Some(Self { did, path, cid, rev, essence, made, expires: time("expiresAt"), record, embedding })
    }

    /// Its address.
    #[must_use]
    pub fn uri(&self) -> String {
        uri(&self.did, &self.path)
    }
}

/// What becomes of documents.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A record was created or changed.
    Put(Box<Document>),
    /// A record is gone, or is no document any more.
    Gone {
        /// Whose it was.
        did: Did,
        /// Where it was.
        path: RepoPath,
        /// With which revision it went.
        rev: Rev,
    },
    /// A repository has become another one: only these of its documents are there, if any.
    Another {
        /// Whose.
        did: Did,
        /// Its revision.
        rev: Rev,
        /// Whether the account is of this host, which can say what the documents are.
        own: bool,
        /// What there is now.
        documents: Vec<Document>,
    },
    /// An account is served, or is not any more.
    Standing {
        /// Which.
        did: Did,
        /// Whether it is.
        active: bool,
        /// Whether it is gone for good.
        deleted: bool,
    },
    /// An account of another host has a handle.
    Handle {
        /// Which.
        did: Did,
        /// Its handle, where its document claims it.
        handle: Option<Handle>,
    },
}

impl Change {
    /// Whether it brings documents, which are to be embedded.
    #[must_use]
    pub fn brings_documents(&self) -> bool {
        match self {
            Self::Put(_) => true,
            Self::Another { documents, .. } => !documents.is_empty(),
            _ => false,
        }
    }
}

/// What a frame of the relay's log says. The relay has verified it: its commit is signed, and its records are those of the tree.
#[must_use]
pub fn changes_of(own: bool, frame: &[u8]) -> Vec<Change> {
    let Ok(Frame::Event { event, .. }) = Frame::decode(frame) else { return Vec::new() };
    match event {
        Event::Commit(event) => {
            let car = Car::read(&event.blocks, Limits::EVENT).ok();
            let change = |op: &murmuration_repo::RecordOp| {
                let path = op.path.path().ok().filter(|_| is_indexed(op.path.collection()))?;
                let block = |cid: Cid| Some((cid, car.as_ref()?.blocks.get(&cid)?));
                let document = op.cid.and_then(block).and_then(|(cid, block)| {
                    Document::of(&event.repo, &path, cid, event.rev, &cbor::decode(block).ok()?)
                });
                Some(match document {
                    Some(document) => Change::Put(Box::new(document)),
                    None => Change::Gone { did: event.repo.clone(), path, rev: event.rev },
                })
            };
            event.ops.iter().filter_map(change).collect()
        }
        Event::Sync(event) => {
            vec![Change::Another { did: event.did, rev: event.rev, own, documents: Vec::new() }]
        }
        Event::Account(event) => {
            let deleted = event.inactive == Some(murmuration_firehose::AccountStatus::Deleted);
            vec![Change::Standing { did: event.did, active: event.inactive.is_none(), deleted }]
        }
        Event::Identity(event) if !own => vec![Change::Handle { did: event.did, handle: event.handle }],
        _ => Vec::new(),
    }
}

/// What an agent says of itself: the texts of its profile and of its skills. Its tags are the ids of its skills and their tags.
fn essence_of_profile(profile: &Ipld) -> Essence {
    let mut lines: Vec<&str> = ["displayName", "description", "software"]
        .into_iter()
        .filter_map(|name| text(profile, name))
        .collect();
    let mut tags = Vec::new();
    let skills = field(profile, "skills").map_or(&[][..], items);
    for skill in skills {
        lines.extend(["name", "description"].into_iter().filter_map(|name| text(skill, name)));
        tags.extend(text(skill, "id").map(skill_tag));
        for tag in field(skill, "tags").map_or(&[][..], items) {
            if let Ipld::String(tag) = tag {
                lines.push(tag);
                tags.push(tag.clone());
            }
        }
    }
    Essence { text: lines.join("\n"), tags, ..Essence::default() }
}

/// What stands among the tags of a profile for a skill of its: no tag has a line break.
#[must_use]
pub fn skill_tag(id: &str) -> String {
    format!("\n{id}")
}

/// The address of a record.
pub(crate) fn uri(did: &Did, path: &RepoPath) -> String {
    format!("at://{did}/{path}")
}

fn field<'a>(value: &'a Ipld, name: &str) -> Option<&'a Ipld> {
    match value {
        Ipld::Map(fields) => fields.get(name),
        _ => None,
    }
}

fn items(value: &Ipld) -> &[Ipld] {
    match value {
        Ipld::List(items) => items,
        _ => &[],
    }
}

fn text<'a>(value: &'a Ipld, name: &str) -> Option<&'a str> {
    match field(value, name) {
        Some(Ipld::String(text)) => Some(text),
        _ => None,
    }
}

/// The collection of what agents say of themselves.
pub(crate) const PROFILE: &str = "agent.identity.profile";
