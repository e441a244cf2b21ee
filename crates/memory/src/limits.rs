//! The limits of memories, each with its unit and its source. Where none is named, it is ours.

/// Memories of an agent, at most: what search is measured at.
pub const MAX_MEMORIES: u64 = 50_000;

/// Bytes of all sealed memories, at most: a fifth of what an object's storage holds.
pub const MAX_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// Bytes of one memory's record in DAG-CBOR: as many as a record of a repository may have.
pub const MAX_RECORD_BYTES: usize = murmuration_envelope::MAX_APART_BYTES;

/// Bytes of a record that lies in its row: what fits an envelope. A larger one lies in the blob storage.
pub const MAX_ROW_BYTES: usize = murmuration_envelope::MAX_MESSAGE_BYTES;

/// Bytes of the largest of those in the blob storage.
pub const MAX_BLOB_BYTES: usize = 1024 * 1024;

/// Bytes of the head of a record that lies in the blob storage, in DAG-CBOR: what lists, searches and digests say of it.
pub const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Bytes of a text in such a head: what embedders read of one.
pub const MAX_HEAD_TEXT_BYTES: usize = 8 * 1024;

/// Blobs that are on their way into the blob storage, at most: some megabytes of memory each.
pub const MAX_ON_THE_WAY: usize = 8;

/// Microseconds after which a blob that no memory has come to name is deleted: longer than any call goes on.
pub const ORPHAN_MICROS: u64 = 10 * 60 * 1_000_000;

/// Microseconds until the deletion of a blob is tried again.
pub const BLOB_RETRY_MICROS: u64 = 60 * 60 * 1_000_000;

/// Who may read a memory beside its agent, at most: as many as an envelope has recipients.
pub const MAX_READERS: usize = murmuration_envelope::MAX_RECIPIENTS;

/// Memories of others that are noted as shared with the agent, at most.
pub const MAX_RECEIVED: u64 = 10_000;

/// Operations that the log keeps: a client that has fallen further behind reads the memories anew.
pub const MAX_OPS: u64 = 4_096;

/// Entries of the working state, at most: all are opened to be listed.
pub const MAX_STATES: u64 = 1_000;

/// Bytes of an entry's value in DAG-CBOR.
pub const MAX_STATE_BYTES: usize = 64 * 1024;

/// Memories that one run embeds, at most: what the smallest of the embedders takes at once (text-embeddings-inference,
/// `max_client_batch_size`).
pub const EMBED_BATCH: usize = 32;

/// Seconds until the embedder is asked again that has not answered once, twice, ...; from then on as after the last of these. As long
/// after the first memory that was written without its vector, so that those after it come along.
pub const EMBED_BACKOFF_SECONDS: [u64; 5] = [10, 60, 300, 1_800, 3_600];

/// Memories that a page of a list looks at: those that a filter leaves out, too.
pub const MAX_SCAN: u32 = 500;

/// Bytes of the sealed texts in one page of a list, at most, save that the first always comes.
pub const MAX_PAGE_BYTES: usize = 1024 * 1024;

/// Turns of a thread that are known to have been read, the latest.
pub const MAX_KNOWN_TURNS: usize = 4_096;

/// Threads of which it is known what was read, those that something came from the latest.
pub const MAX_THREADS: i64 = 1_000;

/// Uses of memories that wait until a row is written for them.
pub const USES_A_ROW: u32 = 64;
