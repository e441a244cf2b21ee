//! `com.atproto.repo`

use crate::agent::{AgentHandler, repo};
use crate::method::{Auth, Kind, MAX_WRITE_JSON_BYTES, Method, Place, Route, Standing};

/// Points of a create, update and delete; the reference server's.
const CREATE_COST: u32 = 3;
const UPDATE_COST: u32 = 2;
const DELETE_COST: u32 = 1;

pub(super) const METHODS: &[Method] = &[
    write("com.atproto.repo.applyWrites", CREATE_COST, repo::apply_writes),
    write("com.atproto.repo.createRecord", CREATE_COST, repo::create_record),
    write("com.atproto.repo.deleteRecord", DELETE_COST, repo::delete_record),
    Method::host("com.atproto.repo.describeRepo", Kind::Query, |host, call| {
        Box::pin(async move { host.describe_repo(&call.params).await })
    }),
    Method::read("com.atproto.repo.getRecord", Route::Repo("repo"), repo::get_record),
    Method::read("com.atproto.repo.listRecords", Route::Repo("repo"), repo::list_records),
    write("com.atproto.repo.putRecord", UPDATE_COST, repo::put_record),
    Method::new("com.atproto.repo.uploadBlob", Kind::Procedure, Place::BlobUpload)
        .auth(Auth::Access)
        .standing(Standing::NotTakendown)
        .cost(CREATE_COST),
];

const fn write(nsid: &'static str, cost: u32, run: AgentHandler) -> Method {
    Method::own(nsid, Kind::Procedure, Auth::Access, run)
        .standing(Standing::Active)
        .cost(cost)
        .max_json(MAX_WRITE_JSON_BYTES)
}
