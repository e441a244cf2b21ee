//! What an envelope is bound to, and how that is written for the ciphers.

use murmuration_data::cbor::Writer;
use murmuration_syntax::{Did, Nsid, RecordKey};

/// Which record a sealed text is: an envelope opens only where it was sealed for.
///
/// A row that is copied to another record, account or kind does not open there. What the host stores beside the envelope
/// must be able to say all four without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Who sealed it.
    pub author: Did,
    /// The collection of the record.
    pub collection: Nsid,
    /// The name of the record in its collection.
    pub rkey: RecordKey,
    /// The schema of the text inside.
    pub schema: Nsid,
}

impl Binding {
    /// The DAG-CBOR list `[label, author, collection, rkey, schema, epoch, …]`. The label keeps what is said of one step
    /// apart from what is said of another; the encoding is the only one, so no two contexts are written alike.
    pub(crate) fn context(&self, label: Label, epoch: u32, more: &[&str]) -> Vec<u8> {
        let mut writer = self.open_context(label, epoch, more.len());
        for text in more {
            writer.text(text);
        }
        writer.into_bytes()
    }

    /// The same list, ending in an item that is encoded already.
    pub(crate) fn context_of(&self, label: Label, epoch: u32, item: &[u8]) -> Vec<u8> {
        let mut writer = self.open_context(label, epoch, 1);
        writer.raw(item);
        writer.into_bytes()
    }

    fn open_context(&self, label: Label, epoch: u32, more: usize) -> Writer {
        let mut writer = Writer::new();
        writer.array(FIXED_ITEMS + more).text(label.text());
        writer.text(self.author.as_str()).text(self.collection.as_str());
        writer.text(self.rkey.as_str()).text(self.schema.as_str()).uint(u64::from(epoch));
        writer
    }
}

/// The steps that are kept apart.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Label {
    /// The text is sealed under the content key.
    Content,
    /// The commitment is made under the commitment key.
    Commit,
    /// The data key is sealed under the author's epoch key.
    Own,
    /// The data key is kept by one who can open it.
    Kept,
    /// The data key is sealed to a recipient.
    Recipient,
    /// The data key is sealed by a reader to another.
    Shared,
}

impl Label {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Content => "agent-envelope-v1 content",
            Self::Commit => "agent-envelope-v1 commit",
            Self::Own => "agent-envelope-v1 own",
            Self::Kept => "agent-envelope-v1 kept",
            Self::Recipient => "agent-envelope-v1 recipient",
            Self::Shared => "agent-envelope-v1 shared",
        }
    }
}

/// Label, author, collection, rkey, schema, epoch.
const FIXED_ITEMS: usize = 6;
