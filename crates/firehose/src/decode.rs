//! Reading frames: what a consumer may believe about the shape of what it was sent.
//!
//! Strict in encoding (a frame that is not DAG-CBOR ends the connection, says the specification) and in types; lenient
//! in what it does not know: unknown fields are ignored, and so is what stands in the dead fields `blobs`.

use std::collections::BTreeMap;

use murmuration_data::{Cid, Ipld, cbor};
use murmuration_repo::{Action, Key, RecordOp};
use murmuration_syntax::{Did, Handle, Rev};

use crate::limits::{MAX_FRAME_BYTES, MAX_OPS};
use crate::{
    AccountEvent, AccountStatus, CommitEvent, Event, FirehoseError, IdentityEvent, Seq, SyncEvent, Timestamp,
};

/// A frame of the stream, decoded.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Frame {
    /// An event under its sequence number.
    Event {
        /// Its place in the stream.
        seq: Seq,
        /// What it says.
        event: Event,
    },
    /// Something about the stream itself (`OutdatedCursor`).
    Info {
        /// The kind of information.
        name: String,
        /// In words, where the host says more.
        message: Option<String>,
    },
    /// Why the host ends the stream (`FutureCursor`, `ConsumerTooSlow`).
    Error {
        /// The error's name.
        error: String,
        /// In words, where the host says more.
        message: Option<String>,
    },
}

impl Frame {
    /// Reads one frame.
    ///
    /// # Errors
    /// [`FirehoseError::UnknownType`] for a well-formed frame that a consumer should skip; any other error means that the
    /// connection should be dropped.
    pub fn decode(bytes: &[u8]) -> Result<Self, FirehoseError> {
        if bytes.len() > MAX_FRAME_BYTES {
            let actual = bytes.len();
            return Err(FirehoseError::TooLarge { what: "bytes", actual, limit: MAX_FRAME_BYTES });
        }
        let (header, length) = cbor::decode_prefix(bytes)?;
        let rest = bytes.get(length..).ok_or(FirehoseError::Framing("no payload"))?;
        let mut header = Fields::of(header, "the header is not a map")?;
        match header.integer("op")? {
            1 => {
                let tag = header.text("t")?;
                Self::message(&tag, Fields::of(cbor::decode(rest)?, "the payload is not a map")?)
            }
            -1 => {
                let mut fields = Fields::of(cbor::decode(rest)?, "the payload is not a map")?;
                Ok(Self::Error { error: fields.text("error")?, message: fields.opt_text("message")? })
            }
            op => Err(FirehoseError::UnknownType(format!("op {op}"))),
        }
    }

    fn message(tag: &str, mut fields: Fields) -> Result<Self, FirehoseError> {
        let event = match tag {
            "#commit" => Event::Commit(commit(&mut fields)?),
            "#sync" => Event::Sync(SyncEvent {
                did: fields.parsed("did", Did::parse)?,
                rev: fields.parsed("rev", Rev::parse)?,
                blocks: fields.bytes("blocks")?,
                time: fields.time()?,
            }),
            "#identity" => Event::Identity(IdentityEvent {
                did: fields.parsed("did", Did::parse)?,
                handle: fields.opt_parsed("handle", Handle::parse)?,
                time: fields.time()?,
            }),
            "#account" => Event::Account(account(&mut fields)?),
            "#info" => {
                return Ok(Self::Info { name: fields.text("name")?, message: fields.opt_text("message")? });
            }
            other => return Err(FirehoseError::UnknownType(other.to_owned())),
        };
        let seq = u64::try_from(fields.integer("seq")?).ok().and_then(Seq::new);
        Ok(Self::Event { seq: seq.ok_or(FirehoseError::Field("seq"))?, event })
    }
}

fn commit(fields: &mut Fields) -> Result<CommitEvent, FirehoseError> {
    for dead in ["rebase", "tooBig"] {
        if fields.boolean(dead)? {
            return Err(FirehoseError::Field(dead));
        }
    }
    let Some(Ipld::List(_)) = fields.take("blobs") else { return Err(FirehoseError::Field("blobs")) };
    let Some(Ipld::List(list)) = fields.take("ops") else { return Err(FirehoseError::Field("ops")) };
    if list.len() > MAX_OPS {
        return Err(FirehoseError::TooLarge { what: "operations", actual: list.len(), limit: MAX_OPS });
    }
    let ops = list.into_iter().map(op).collect::<Result<_, _>>()?;
    if !fields.0.contains_key("since") {
        return Err(FirehoseError::Field("since"));
    }
    Ok(CommitEvent {
        repo: fields.parsed("repo", Did::parse)?,
        commit: fields.link("commit")?,
        rev: fields.parsed("rev", Rev::parse)?,
        since: fields.opt_parsed("since", Rev::parse)?,
        prev_data: fields.opt_link("prevData")?,
        ops,
        blocks: fields.bytes("blocks")?,
        time: fields.time()?,
    })
}

fn op(value: Ipld) -> Result<RecordOp, FirehoseError> {
    let mut fields = Fields::of(value, "an operation is not a map")?;
    let action = match fields.text("action")?.as_str() {
        "create" => Action::Create,
        "update" => Action::Update,
        "delete" => Action::Delete,
        _ => return Err(FirehoseError::Field("action")),
    };
    if !fields.0.contains_key("cid") {
        return Err(FirehoseError::Field("cid"));
    }
    let path = fields.parsed("path", Key::parse)?;
    Ok(RecordOp { path, action, cid: fields.opt_link("cid")?, prev: fields.opt_link("prev")? })
}

fn account(fields: &mut Fields) -> Result<AccountEvent, FirehoseError> {
    let active = fields.boolean("active")?;
    let status = fields.opt_text("status")?;
    let inactive = match (active, status) {
        (true, _) => None,
        (false, None) => Some(AccountStatus::Unstated),
        (false, Some(name)) => Some(AccountStatus::from_name(&name)),
    };
    Ok(AccountEvent { did: fields.parsed("did", Did::parse)?, inactive, time: fields.time()? })
}

/// The fields of a map, taken out one by one.
struct Fields(BTreeMap<String, Ipld>);

impl Fields {
    fn of(value: Ipld, complaint: &'static str) -> Result<Self, FirehoseError> {
        match value {
            Ipld::Map(fields) => Ok(Self(fields)),
            _ => Err(FirehoseError::Framing(complaint)),
        }
    }

    fn take(&mut self, name: &'static str) -> Option<Ipld> {
        self.0.remove(name)
    }

    fn integer(&mut self, name: &'static str) -> Result<i64, FirehoseError> {
        match self.take(name) {
            Some(Ipld::Integer(number)) => i64::try_from(number).map_err(|_| FirehoseError::Field(name)),
            _ => Err(FirehoseError::Field(name)),
        }
    }

    fn boolean(&mut self, name: &'static str) -> Result<bool, FirehoseError> {
        match self.take(name) {
            Some(Ipld::Bool(value)) => Ok(value),
            _ => Err(FirehoseError::Field(name)),
        }
    }

    fn bytes(&mut self, name: &'static str) -> Result<Vec<u8>, FirehoseError> {
        match self.take(name) {
            Some(Ipld::Bytes(value)) => Ok(value),
            _ => Err(FirehoseError::Field(name)),
        }
    }

    /// A text, or nothing when the field is absent or null.
    fn opt_text(&mut self, name: &'static str) -> Result<Option<String>, FirehoseError> {
        match self.take(name) {
            Some(Ipld::String(value)) => Ok(Some(value)),
            None | Some(Ipld::Null) => Ok(None),
            Some(_) => Err(FirehoseError::Field(name)),
        }
    }

    fn text(&mut self, name: &'static str) -> Result<String, FirehoseError> {
        self.opt_text(name)?.ok_or(FirehoseError::Field(name))
    }

    /// A link, or nothing when the field is absent or null.
    fn opt_link(&mut self, name: &'static str) -> Result<Option<Cid>, FirehoseError> {
        match self.take(name) {
            Some(Ipld::Link(cid)) => Ok(Some(cid)),
            None | Some(Ipld::Null) => Ok(None),
            Some(_) => Err(FirehoseError::Field(name)),
        }
    }

    fn link(&mut self, name: &'static str) -> Result<Cid, FirehoseError> {
        self.opt_link(name)?.ok_or(FirehoseError::Field(name))
    }

    fn opt_parsed<T, E>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, FirehoseError> {
        let text = self.opt_text(name)?;
        text.map(|text| parse(&text).map_err(|_| FirehoseError::Field(name))).transpose()
    }

    fn parsed<T, E>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<T, FirehoseError> {
        self.opt_parsed(name, parse)?.ok_or(FirehoseError::Field(name))
    }

    fn time(&mut self) -> Result<Timestamp, FirehoseError> {
        Timestamp::parse(&self.text("time")?)
    }
}
