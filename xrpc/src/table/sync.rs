//! `com.atproto.sync`

use crate::agent::{AgentHandler, sync};
use crate::limits::{FIVE_MINUTES, Limit};
use crate::method::{Auth, Kind, Method, Place, Route};

/// Points of a getBlocks: a CID that is not there costs a walk over the whole tree.
const BLOCKS_COST: u32 = 10;

/// Points of a listRepos: it asks the object of each account of a page, of which there may be a hundred.
const LIST_REPOS_COST: u32 = 20;

pub(super) const METHODS: &[Method] = &[
    Method::new("com.atproto.sync.getBlob", Kind::Query, Place::BlobDownload)
        .auth(Auth::OptionalEvenTakendown),
    read("com.atproto.sync.getBlocks", sync::blocks).cost(BLOCKS_COST),
    read("com.atproto.sync.getCheckout", sync::repo),
    read("com.atproto.sync.getHead", sync::head),
    read("com.atproto.sync.getLatestCommit", sync::latest_commit),
    read("com.atproto.sync.getRecord", sync::record),
    read("com.atproto.sync.getRepo", sync::repo)
        .auth(Auth::OptionalEvenTakendown)
        .cost(0)
        .limits(&[Limit::client(6_000, FIVE_MINUTES)]),
    Method::read("com.atproto.sync.getRepoStatus", Route::Did("did"), sync::repo_status),
    read("com.atproto.sync.listBlobs", sync::list_blobs).auth(Auth::OptionalEvenTakendown),
    Method::host("com.atproto.sync.listRepos", Kind::Query, |host, call| {
        Box::pin(async move { host.list_repos(&call.params).await })
    })
    .cost(LIST_REPOS_COST),
    Method::new("com.atproto.sync.listReposByCollection", Kind::Query, Place::Relay),
    Method::new("com.atproto.sync.subscribeRepos", Kind::Subscription, Place::Relay),
];

/// What anyone may read of an active account, and its owner and the operator of any.
const fn read(nsid: &'static str, run: AgentHandler) -> Method {
    Method::read(nsid, Route::Did("did"), run).auth(Auth::Optional)
}
