//! The method table: every XRPC method that this host serves.
//!
//! What is not here does not exist: the router has no other source. A test walks the table and asserts what each
//! method asks of its caller.

use crate::agent::{repo, server, sync};
use crate::host::HostMethod;
use crate::method::{Auth, Kind, Method, Place, Route};

/// Points of a create, update and delete; the reference server's.
const CREATE_COST: u32 = 3;
const UPDATE_COST: u32 = 2;
const DELETE_COST: u32 = 1;

/// Finds a method by its NSID.
#[must_use]
pub fn find(nsid: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.nsid == nsid)
}

const fn host(nsid: &'static str, kind: Kind, method: HostMethod) -> Method {
    Method { nsid, kind, auth: Auth::Open, place: Place::Host(method), cost: 0 }
}

const fn read(nsid: &'static str, route: Route, run: crate::agent::AgentHandler) -> Method {
    Method { nsid, kind: Kind::Query, auth: Auth::Open, place: Place::Agent { route, run }, cost: 0 }
}

const fn own(
    nsid: &'static str,
    kind: Kind,
    auth: Auth,
    cost: u32,
    run: crate::agent::AgentHandler,
) -> Method {
    Method { nsid, kind, auth, place: Place::Agent { route: Route::Subject, run }, cost }
}

/// Every method, by namespace.
pub const METHODS: &[Method] = &[
    host("com.atproto.identity.resolveHandle", Kind::Query, HostMethod::ResolveHandle),
    own("com.atproto.repo.applyWrites", Kind::Procedure, Auth::Access, CREATE_COST, repo::apply_writes),
    own("com.atproto.repo.createRecord", Kind::Procedure, Auth::Access, CREATE_COST, repo::create_record),
    own("com.atproto.repo.deleteRecord", Kind::Procedure, Auth::Access, DELETE_COST, repo::delete_record),
    host("com.atproto.repo.describeRepo", Kind::Query, HostMethod::DescribeRepo),
    read("com.atproto.repo.getRecord", Route::Repo("repo"), repo::get_record),
    read("com.atproto.repo.listRecords", Route::Repo("repo"), repo::list_records),
    own("com.atproto.repo.putRecord", Kind::Procedure, Auth::Access, UPDATE_COST, repo::put_record),
    Method {
        nsid: "com.atproto.repo.uploadBlob",
        kind: Kind::Procedure,
        auth: Auth::Access,
        place: Place::BlobUpload,
        cost: CREATE_COST,
    },
    host("com.atproto.server.createAccount", Kind::Procedure, HostMethod::CreateAccount),
    host("com.atproto.server.createSession", Kind::Procedure, HostMethod::CreateSession),
    own(
        "com.atproto.server.deleteSession",
        Kind::Procedure,
        Auth::RefreshEvenExpired,
        0,
        server::delete_session,
    ),
    host("com.atproto.server.describeServer", Kind::Query, HostMethod::DescribeServer),
    own("com.atproto.server.getSession", Kind::Query, Auth::Access, 0, server::session),
    own("com.atproto.server.refreshSession", Kind::Procedure, Auth::Refresh, 0, server::refresh_session),
    Method {
        nsid: "com.atproto.sync.getBlob",
        kind: Kind::Query,
        auth: Auth::Open,
        place: Place::BlobDownload,
        cost: 0,
    },
    read("com.atproto.sync.getBlocks", Route::Did("did"), sync::blocks),
    read("com.atproto.sync.getLatestCommit", Route::Did("did"), sync::latest_commit),
    read("com.atproto.sync.getRecord", Route::Did("did"), sync::record),
    read("com.atproto.sync.getRepo", Route::Did("did"), sync::repo),
    read("com.atproto.sync.getRepoStatus", Route::Did("did"), sync::repo_status),
    read("com.atproto.sync.listBlobs", Route::Did("did"), sync::list_blobs),
    host("com.atproto.sync.listRepos", Kind::Query, HostMethod::ListRepos),
    Method {
        nsid: "com.atproto.sync.subscribeRepos",
        kind: Kind::Subscription,
        auth: Auth::Open,
        place: Place::Relay,
        cost: 0,
    },
];
