//! Rate limits as a client meets them, and what the table says of every method.

use murmuration_data::Ipld;
use murmuration_rate::Rule;
use murmuration_syntax::Did;
use murmuration_xrpc::agent::Args;
use murmuration_xrpc::auth::Caller;
use murmuration_xrpc::http::Response;
use murmuration_xrpc::limits::{self, Limit, Per};
use murmuration_xrpc::method::{Auth, Method, Place, Route};
use murmuration_xrpc::table::{find, methods};
use murmuration_xrpc::token::{Claims, Scope};

use crate::world;
use crate::world::{World, block_on};

fn limited() -> World {
    let mut world = World::new();
    assert_eq!(world.create("alice").0, 200);
    world.come_from("192.0.2.1");
    world
}

#[test]
fn guesses_at_a_password_are_counted_by_name_and_address() {
    let mut world = limited();
    for _ in 0..30 {
        assert_eq!(world.login("alice.test", "a guess").0, 401);
    }
    let (status, body) = world.login("Alice.test ", "alice's password");
    assert_eq!(
        (status, body["error"].as_str()),
        (429, Some("RateLimitExceeded")),
        "not even with the password"
    );
    assert_eq!(
        world.login("alice@example.com", "alice's password").0,
        200,
        "another name has its own window"
    );
    world.come_from("192.0.2.2");
    assert_eq!(world.login("alice.test", "alice's password").0, 200, "and so has another address");
    world.come_from("192.0.2.1");
    world.pass_minutes(5);
    assert_eq!(world.login("alice.test", "alice's password").0, 200);
}

#[test]
fn a_day_of_slow_guesses_ends_too() {
    let world = limited();
    let method = find("com.atproto.server.createSession").unwrap();
    let counter = world.counter.as_ref().map(|counter| -> &dyn limits::Counter { counter });
    let guess = Args::new(Ipld::Map([("identifier".to_owned(), Ipld::String("alice.test".into()))].into()));
    let mut tried = 0;
    while block_on(limits::charge_method(counter, method, &Caller::Anyone, &guess)).is_ok() {
        tried += 1;
        world.pass_minutes(1);
    }
    assert_eq!(tried, 300);
}

/// A method that each of those who are counted may call once.
type Once = (&'static str, [Limit; 1]);

const BY_CLIENT: &Once = &("com.example.byClient", once(Per::Client));
const BY_ACCOUNT: &Once = &("com.example.byAccount", once(Per::Account));
const BY_STRANGER: &Once = &("com.example.byStranger", once(Per::Stranger));

const fn once(per: Per) -> [Limit; 1] {
    [Limit { rule: Rule::new(1, 60), per }]
}

fn may_call(world: &World, (nsid, limits): &'static Once, caller: &Caller) -> bool {
    let method = Method { nsid, limits, ..*find("com.atproto.server.describeServer").unwrap() };
    let counter = world.counter.as_ref().map(|counter| -> &dyn limits::Counter { counter });
    let nothing = Args::new(Ipld::Map([].into()));
    match block_on(limits::charge_method(counter, &method, caller, &nothing)) {
        Ok(()) => true,
        Err(error) => {
            assert_eq!((error.status(), error.error()), (429, "RateLimitExceeded"));
            false
        }
    }
}

#[test]
fn each_is_counted_as_whom_the_limit_is_per() {
    let mut world = limited();
    let did = |name: &str| Did::parse(&format!("did:plc:{name:a<24}")).unwrap();
    let account = |name: &str| {
        let (sub, aud) = (did(name), "did:web:pds.example".to_owned());
        Caller::Account(Claims { scope: Scope::Access, sub, aud, iat: 0, exp: 1, jti: None, sid: None })
    };
    let service = |name: &str| Caller::Service(did(name));
    let delivery =
        |name: &str| Caller::Delivery { from: did(name), to: did("alice"), token: ("x".into(), 1) };

    // An account is one, however it has shown who it is and wherever it calls from; nobody else has a limit here.
    for (caller, may) in [
        (account("alice"), true),
        (account("alice"), false),
        (service("alice"), false),
        (delivery("alice"), false),
        (service("bob"), true),
        (account("bob"), false),
        (delivery("carol"), true),
        (delivery("carol"), false),
    ] {
        assert_eq!(may_call(&world, BY_ACCOUNT, &caller), may, "{caller:?}");
    }
    for caller in [Caller::Anyone, Caller::Admin, Caller::ModerationService] {
        assert!(may_call(&world, BY_ACCOUNT, &caller) && may_call(&world, BY_ACCOUNT, &caller), "{caller:?}");
    }
    // Strangers at one address are one; who says who they are is none.
    for (caller, may) in [
        (account("alice"), true),
        (account("alice"), true),
        (Caller::Anyone, true),
        (Caller::Anyone, false),
        (account("alice"), true),
    ] {
        assert_eq!(may_call(&world, BY_STRANGER, &caller), may, "{caller:?}");
    }
    // All at one address are one client.
    for (caller, may) in [(account("alice"), true), (account("bob"), false), (Caller::Anyone, false)] {
        assert_eq!(may_call(&world, BY_CLIENT, &caller), may, "{caller:?}");
    }
    world.come_from("192.0.2.2");
    assert!(may_call(&world, BY_CLIENT, &Caller::Anyone) && may_call(&world, BY_STRANGER, &Caller::Anyone));
    assert!(!may_call(&world, BY_ACCOUNT, &account("alice")));
}

#[test]
fn a_refusal_says_until_when() {
    let world = limited();
    let method = find("com.atproto.server.describeServer").unwrap();
    let counter = world.counter.as_ref().map(|counter| -> &dyn limits::Counter { counter });
    let ask = || block_on(limits::charge_client(counter, Some(method)));
    for _ in 0..3000 {
        ask().unwrap();
    }
    world.pass_minutes(1);
    let refusal = Response::from(ask().unwrap_err());
    let header = |name| refusal.headers.iter().find(|(known, _)| *known == name).unwrap().1.clone();
    assert_eq!(refusal.status, 429);
    assert_eq!(header("ratelimit-limit"), "3000");
    assert_eq!(header("ratelimit-remaining"), "0");
    assert_eq!(header("ratelimit-policy"), "3000;w=300");
    assert_eq!(header("retry-after"), "240");
    assert_eq!(header("ratelimit-reset"), "1795000300");
}

#[test]
fn the_table_has_the_reference_servers_limits_and_some_of_its_own() {
    let of = |nsid: &str| -> Option<Vec<(Per, u32, u32)>> {
        let limits = find(nsid)?.limits.iter();
        Some(limits.map(|limit| (limit.per, limit.rule.points, limit.rule.seconds)).collect())
    };
    let mail = vec![(Per::Account, 15, 86_400), (Per::Account, 5, 3600)];
    let sent = vec![(Per::Account, 5_000, 3600), (Per::Account, 35_000, 86_400)];
    let expected = [
        ("com.atproto.identity.updateHandle", vec![(Per::Account, 10, 300), (Per::Account, 50, 86_400)]),
        ("com.atproto.repo.uploadBlob", vec![(Per::Account, 1000, 86_400)]),
        ("com.atproto.server.createAccount", vec![(Per::Client, 100, 300)]),
        ("com.atproto.server.createSession", vec![(Per::Login, 30, 300), (Per::Login, 300, 86_400)]),
        ("com.atproto.server.deleteAccount", vec![(Per::Client, 50, 300)]),
        ("com.atproto.server.requestAccountDelete", mail.clone()),
        ("com.atproto.server.requestEmailConfirmation", mail.clone()),
        ("com.atproto.server.requestEmailUpdate", mail.clone()),
        ("com.atproto.server.requestPasswordReset", vec![(Per::Client, 50, 86_400), (Per::Client, 15, 3600)]),
        ("com.atproto.server.resetPassword", vec![(Per::Client, 50, 300)]),
        ("com.atproto.sync.getRepo", vec![(Per::Client, 6000, 300)]),
        // The reference server counts none of these, or has no such method.
        ("agent.comms.cancelTask", sent.clone()),
        ("agent.comms.deliver", sent.clone()),
        ("agent.comms.getHandedOver", sent.clone()),
        ("agent.comms.getHandoff", sent.clone()),
        ("agent.comms.sendMessage", sent.clone()),
        ("agent.memory.compactMemories", sent.clone()),
        ("agent.memory.createMemory", sent.clone()),
        ("agent.memory.deleteMemory", sent.clone()),
        ("agent.memory.deleteState", sent.clone()),
        ("agent.memory.getSharedMemory", sent.clone()),
        ("agent.memory.importMemories", sent.clone()),
        ("agent.memory.publishMemory", sent.clone()),
        ("agent.memory.ingestMessages", sent.clone()),
        ("agent.memory.putState", sent.clone()),
        ("agent.memory.revokeShare", sent.clone()),
        ("agent.memory.searchMemories", vec![(Per::Stranger, 100, 300)]),
        ("agent.memory.shareMemory", sent.clone()),
        ("agent.memory.updateMemory", sent),
        // The reference server counts none of these.
        ("agent.identity.createAgent", vec![(Per::Client, 100, 300)]),
        ("agent.identity.createAlias", vec![(Per::Account, 10, 86_400)]),
        ("agent.identity.exportKeys", vec![(Per::Account, 10, 86_400)]),
        ("agent.identity.importKeys", vec![(Per::Account, 10, 86_400)]),
        ("agent.identity.rotateKeys", vec![(Per::Account, 4, 86_400)]),
        ("com.atproto.identity.requestPlcOperationSignature", mail),
        ("com.atproto.repo.importRepo", vec![(Per::Account, 50, 86_400), (Per::Account, 10, 3600)]),
        ("com.atproto.server.reserveSigningKey", vec![(Per::Client, 200, 86_400), (Per::Client, 50, 3600)]),
    ];
    for (nsid, limits) in &expected {
        assert_eq!(of(nsid).as_ref(), Some(limits), "{nsid}");
    }
    let named: Vec<_> = expected.iter().map(|(nsid, _)| *nsid).collect();
    for method in methods().filter(|method| !method.limits.is_empty()) {
        assert!(named.contains(&method.nsid), "{} has a limit that is not spelled out here", method.nsid);
    }
}

#[test]
fn every_limit_can_be_counted_where_its_method_runs() {
    for method in methods() {
        let open = matches!(method.auth, Auth::Open | Auth::Optional | Auth::OptionalService);
        for limit in method.limits {
            match limit.per {
                Per::Account => assert!(!open, "{}: whose?", method.nsid),
                Per::Login => assert!(matches!(method.place, Place::Host(_)), "{}", method.nsid),
                Per::Stranger => assert_eq!(method.auth, Auth::OptionalPrivate, "{}", method.nsid),
                Per::Client => {}
            }
            if let Place::Agent { route, .. } = method.place {
                assert!(limit.per == Per::Client || route == Route::Subject, "{}", method.nsid);
            }
        }
        assert!(method.cost > 0 || !method.limits.is_empty(), "{} is not counted at all", method.nsid);
    }
}

#[test]
fn limits_are_on_unless_the_operator_says_off() {
    let limits = |variables: &[(&str, &str)]| world::config(variables);
    assert!(limits(&[]).unwrap().rate_limits);
    assert!(!limits(&[("RATE_LIMITS", "off")]).unwrap().rate_limits);
    let keyed = limits(&[("RATE_LIMIT_BYPASS_KEY", "key")]).unwrap();
    assert!(keyed.bypasses_limits(Some("key")) && !keyed.bypasses_limits(Some("kez")));
    assert!(!keyed.bypasses_limits(None) && !limits(&[]).unwrap().bypasses_limits(Some("")));
}

#[test]
fn a_word_that_the_operator_got_wrong_is_refused() {
    for name in ["RATE_LIMITS", "INVITE_REQUIRED", "ACCEPTING_IMPORTS", "ALLOW_PRIVATE_NETWORK"] {
        for word in ["yes", "1", "True"] {
            let error = world::config(&[(name, word)]).err().unwrap().to_string();
            assert!(error.contains(name) && !error.contains(word), "{error}");
        }
        assert!(world::config(&[(name, "")]).is_ok());
    }
}
