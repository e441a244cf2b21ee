//! `com.atproto.sync`

use crate::agent::sync;
use crate::method::{Kind, Method, Place, Route};

pub(super) const METHODS: &[Method] = &[
    Method::new("com.atproto.sync.getBlob", Kind::Query, Place::BlobDownload),
    Method::read("com.atproto.sync.getBlocks", Route::Did("did"), sync::blocks),
    Method::read("com.atproto.sync.getLatestCommit", Route::Did("did"), sync::latest_commit),
    Method::read("com.atproto.sync.getRecord", Route::Did("did"), sync::record),
    Method::read("com.atproto.sync.getRepo", Route::Did("did"), sync::repo),
    Method::read("com.atproto.sync.getRepoStatus", Route::Did("did"), sync::repo_status),
    Method::read("com.atproto.sync.listBlobs", Route::Did("did"), sync::list_blobs),
    Method::host("com.atproto.sync.listRepos", Kind::Query, |host, call| {
        Box::pin(async move { host.list_repos(&call.params).await })
    }),
    Method::new("com.atproto.sync.subscribeRepos", Kind::Subscription, Place::Relay),
];
