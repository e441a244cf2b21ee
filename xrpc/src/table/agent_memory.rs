//! `agent.memory`: what an agent remembers.

use crate::agent::{AgentHandler, memory};
use crate::limits::{DAY, FIVE_MINUTES, HOUR, Limit};
use crate::method::{Auth, Kind, Method, Standing};

/// Changes that an account may make: as many points as its writes have in the reference server.
const WRITTEN: &[Limit] = &[Limit::account(5_000, HOUR), Limit::account(35_000, DAY)];

/// Bytes of the largest body by which a memory comes: its record, as JSON in which many a character is escaped.
const MAX_MEMORY_BODY: usize = 2 * murmuration_memory::limits::MAX_RECORD_BYTES;

/// Points of a query that opens all of the working state.
const LIST_COST: u32 = 5;

/// Points of a query that compares all memories.
const SEARCH_COST: u32 = 5;

/// Searches of what is public by who shows no credential: each has a text embedded.
const SEARCHED: &[Limit] = &[Limit::stranger(100, FIVE_MINUTES)];

/// Points of a query that reads all memories.
const EXPORT_COST: u32 = 50;

/// Bytes of the largest part of an export: texts of 256 KiB, as JSON in which each byte is escaped, or one large memory as it came, or
/// sealed and in base 64, and what stands around them.
const MAX_PART_BODY: usize = MAX_MEMORY_BODY + 256 * 1024;

/// Points of a compaction: its first turn changes as many memories.
const COMPACT_COST: u32 = 50;

/// Points of messages that are read for memories.
const INGEST_COST: u32 = 50;

/// Bytes of the largest body of messages that are read: their texts, as JSON.
const MAX_INGEST_BODY: usize = 2 * 1024 * 1024;

pub(super) const METHODS: &[Method] = &[
    write("agent.memory.compactMemories", memory::compact_memories).cost(COMPACT_COST),
    write("agent.memory.createMemory", memory::create_memory).max_json(MAX_MEMORY_BODY),
    write("agent.memory.deleteMemory", memory::delete_memory),
    write("agent.memory.deleteState", memory::delete_state),
    read("agent.memory.exportMemories", memory::export_memories).cost(EXPORT_COST),
    read("agent.memory.getContext", memory::context_block).cost(SEARCH_COST),
    Method::host("agent.memory.getMemory", Kind::Query, |host, call| {
        Box::pin(async move { host.memory(call).await })
    })
    .auth(Auth::Private)
    .standing(Standing::NotTakendown),
    Method::host("agent.memory.getSharedMemory", Kind::Query, |host, call| {
        Box::pin(async move { host.shared_memory(call).await })
    })
    .auth(Auth::Delivery)
    .limits(WRITTEN),
    read("agent.memory.getState", memory::state),
    read("agent.memory.getStats", memory::stats),
    write("agent.memory.importMemories", memory::import_memories).max_json(MAX_PART_BODY),
    Method::host("agent.memory.ingestMessages", Kind::Procedure, |host, call| {
        Box::pin(async move { host.ingest_messages(call).await })
    })
    .auth(Auth::Private)
    .standing(Standing::Active)
    .limits(WRITTEN)
    .cost(INGEST_COST)
    .max_json(MAX_INGEST_BODY),
    read("agent.memory.listMemories", memory::list_memories),
    read("agent.memory.listOperations", memory::list_operations),
    read("agent.memory.listShares", memory::list_shares),
    read("agent.memory.listState", memory::list_state).cost(LIST_COST),
    write("agent.memory.publishMemory", memory::publish_memory),
    write("agent.memory.putState", memory::put_state),
    write("agent.memory.revokeShare", memory::revoke_share),
    Method::wide("agent.memory.searchMemories", Kind::Query, memory::search_memories, |host, call| {
        Box::pin(async move { host.search_public(call).await })
    })
    .auth(Auth::OptionalPrivate)
    .standing(Standing::NotTakendown)
    .limits(SEARCHED)
    .cost(SEARCH_COST),
    Method::host("agent.memory.shareMemory", Kind::Procedure, |host, call| {
        Box::pin(async move { host.share_memory(call).await })
    })
    .auth(Auth::Private)
    .standing(Standing::Active)
    .limits(WRITTEN),
    write("agent.memory.updateMemory", memory::update_memory).max_json(MAX_MEMORY_BODY),
];

const fn read(nsid: &'static str, run: AgentHandler) -> Method {
    Method::own(nsid, Kind::Query, Auth::Private, run).standing(Standing::NotTakendown)
}

const fn write(nsid: &'static str, run: AgentHandler) -> Method {
    Method::own(nsid, Kind::Procedure, Auth::Private, run).standing(Standing::Active).limits(WRITTEN)
}
