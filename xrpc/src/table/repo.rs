//! `com.atproto.repo`

use crate::agent::{AgentHandler, import, repo};
use crate::limits::{DAY, HOUR, Limit};
use crate::method::{Auth, Kind, MAX_WRITE_JSON_BYTES, Method, Place, Route, Standing};

/// Blobs that an account may upload a day; the reference server's, which counts them by address.
const UPLOADS: &[Limit] = &[Limit::account(1_000, DAY)];

/// Repositories that an account may bring along: each may hold half of an isolate's memory for as long as it comes in. A
/// move takes one, and some more when it breaks off. The reference server has no limit.
const IMPORTS: &[Limit] = &[Limit::account(50, DAY), Limit::account(10, HOUR)];

pub(super) const METHODS: &[Method] = &[
    write("com.atproto.repo.applyWrites", repo::apply_writes),
    write("com.atproto.repo.createRecord", repo::create_record),
    write("com.atproto.repo.deleteRecord", repo::delete_record),
    Method::host("com.atproto.repo.describeRepo", Kind::Query, |host, call| {
        Box::pin(async move { host.describe_repo(&call.params).await })
    }),
    Method::read("com.atproto.repo.getRecord", Route::Repo("repo"), repo::get_record),
    Method::new("com.atproto.repo.importRepo", Kind::Procedure, Place::RepoImport)
        .auth(Auth::Full)
        .standing(Standing::NotTakendown)
        .limits(IMPORTS),
    Method::own("com.atproto.repo.listMissingBlobs", Kind::Query, Auth::Access, import::missing_blobs),
    Method::read("com.atproto.repo.listRecords", Route::Repo("repo"), repo::list_records),
    write("com.atproto.repo.putRecord", repo::put_record),
    Method::new("com.atproto.repo.uploadBlob", Kind::Procedure, Place::BlobUpload)
        .auth(Auth::AccessOrService)
        .standing(Standing::NotTakendown)
        .limits(UPLOADS),
];

const fn write(nsid: &'static str, run: AgentHandler) -> Method {
    Method::own(nsid, Kind::Procedure, Auth::Access, run)
        .standing(Standing::Active)
        .max_json(MAX_WRITE_JSON_BYTES)
}
