//! The method table against the lexicons, and what each method asks of its caller.

use murmuration_lexicons::{Catalog, MethodKind};
use murmuration_xrpc::method::{Auth, Kind, Place};
use murmuration_xrpc::table::{find, methods};

#[test]
fn every_method_is_of_its_lexicons_kind() {
    for method in methods() {
        let kind = match Catalog::builtin().method(method.nsid).unwrap().kind() {
            MethodKind::Query => Kind::Query,
            MethodKind::Procedure => Kind::Procedure,
            MethodKind::Subscription => Kind::Subscription,
        };
        assert_eq!(kind, method.kind, "{}", method.nsid);
    }
}

#[test]
fn every_method_stands_in_the_table_once_and_in_order() {
    let names: Vec<_> = methods().map(|method| method.nsid).collect();
    assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
    assert!(names.iter().all(|nsid| find(nsid).is_some_and(|found| found.nsid == *nsid)));
    assert!(find("com.atproto.server.nothing").is_none());
}

/// Spelled out, so that a method that is opened by mistake is seen here.
#[test]
fn only_these_methods_are_open() {
    let open: Vec<_> =
        methods().filter(|method| method.auth == Auth::Open).map(|method| method.nsid).collect();
    assert_eq!(
        open,
        [
            "agent.identity.getAgent",
            "agent.identity.getKeys",
            "agent.identity.listAgents",
            "agent.identity.resolveAlias",
            "agent.identity.searchAgents",
            "agent.relay.describeRelay",
            "agent.relay.listEvents",
            "agent.relay.subscribeEvents",
            "com.atproto.identity.resolveDid",
            "com.atproto.identity.resolveHandle",
            "com.atproto.identity.resolveIdentity",
            "com.atproto.repo.describeRepo",
            "com.atproto.repo.getRecord",
            "com.atproto.repo.listRecords",
            "com.atproto.server.createSession",
            "com.atproto.server.deleteAccount",
            "com.atproto.server.describeServer",
            "com.atproto.server.requestPasswordReset",
            "com.atproto.server.reserveSigningKey",
            "com.atproto.server.resetPassword",
            "com.atproto.sync.getRepoStatus",
            "com.atproto.sync.listRepos",
            "com.atproto.sync.listReposByCollection",
            "com.atproto.sync.subscribeRepos",
        ]
    );
}

/// Spelled out, so that a method that puts an event into the stream is seen here. What writes among these is a webhook's owner,
/// who says where events go, and the operator, who says whose are read.
#[test]
fn no_method_lets_a_caller_emit_an_event() {
    let written = |kind| {
        let of_relay = methods().filter(|method| matches!(method.place, Place::Relay));
        of_relay
            .filter(|method| method.kind == kind)
            .map(|method| (method.nsid, method.auth))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        written(Kind::Procedure),
        [
            ("agent.relay.createWebhook", Auth::Access),
            ("agent.relay.deleteWebhook", Auth::Access),
            ("agent.relay.putPeer", Auth::Admin),
        ]
    );
    let of_agents: Vec<_> = methods().filter(|method| method.nsid.starts_with("agent.relay.")).collect();
    assert!(of_agents.iter().all(|method| matches!(method.place, Place::Relay)));
    assert_eq!(of_agents.len(), 8);
}

#[test]
fn every_method_of_the_protocol_is_served_or_its_absence_is_a_decision() {
    let page = include_str!("../../docs/decisions/0007-methods-that-are-not-served.md");
    let absent: Vec<_> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert!(absent.len() > 5, "{absent:?}");
    let catalog = Catalog::builtin();
    let methods = catalog.ids().filter(|id| id.starts_with("com.atproto.") && catalog.method(id).is_ok());
    let unserved: Vec<&str> = methods.filter(|nsid| find(nsid).is_none()).collect();
    assert_eq!(absent, unserved, "docs/decisions/0007 (left) and what the table leaves out (right)");
}
