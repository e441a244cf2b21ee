//! Sessions as a client sees them: app passwords, scopes, refresh, takedown; and tokens for other services.

use data_encoding::BASE64URL_NOPAD;
use murmuration_keys::VerifyingKey;
use murmuration_platform::Clock;
use murmuration_xrpc::auth::Caller;
use murmuration_xrpc::method::{Auth, Method};
use murmuration_xrpc::table;
use murmuration_xrpc::token::Scope;
use serde_json::{Value, json};

use crate::world::ask::{OPERATOR, claims};
use crate::world::{World, block_on, did};

const GRANT: &str = "com.atproto.server.getServiceAuth";
const REFRESH: &str = "com.atproto.server.refreshSession";
const SESSION: &str = "com.atproto.server.getSession";
const APPVIEW: &str = "did:web:api.bsky.app";
const FEED: &str = "app.bsky.feed.getTimeline";

struct Alice {
    world: World,
    did: String,
    access: String,
    refresh: String,
}

impl Alice {
    fn new() -> Self {
        let world = World::new();
        let (code, answer) = world.create("alice");
        assert_eq!(code, 200, "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        Self { did: text("did"), access: text("accessJwt"), refresh: text("refreshJwt"), world }
    }

    fn add_app_password(&self, name: &str, privileged: bool) -> String {
        let input = json!({ "name": name, "privileged": privileged });
        let (code, made) =
            self.world.post_as(Some(&self.access), "com.atproto.server.createAppPassword", &input);
        assert_eq!(code, 200, "{made}");
        made["password"].as_str().unwrap().to_owned()
    }

    fn refresh(&self, token: &str) -> (u16, Value) {
        self.world.ask_as(Some(token), REFRESH)
    }

    fn take_down(&self, applied: bool) {
        let takedown = json!({ "applied": applied, "ref": "1" });
        let subject = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": self.did });
        let input = json!({ "subject": subject, "takedown": takedown });
        let nsid = "com.atproto.admin.updateSubjectStatus";
        assert_eq!(self.world.ask(nsid, Some(OPERATOR), &[], &input).0, 200);
    }

    fn grant(&self, token: &str, query: &[(&str, &str)]) -> (u16, Value) {
        self.world.get_as(Some(token), GRANT, query)
    }

    fn now(&self) -> u64 {
        self.world.clock.now_micros() / 1_000_000
    }
}

fn text<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}"))
}

fn error(answer: &(u16, Value)) -> (u16, &str) {
    (answer.0, text(&answer.1, "error"))
}

#[test]
fn an_app_password_opens_a_session_of_its_scope_that_every_refresh_keeps() {
    let alice = Alice::new();
    for (name, privileged, scope) in
        [("plain", false, "com.atproto.appPass"), ("more", true, "com.atproto.appPassPrivileged")]
    {
        let password = alice.add_app_password(name, privileged);
        let (code, session) = alice.world.login("alice.test", &password);
        assert_eq!(code, 200, "{session}");
        assert_eq!(claims(text(&session, "accessJwt"))["scope"], scope);
        let mut refresh = text(&session, "refreshJwt").to_owned();
        for _ in 0..3 {
            alice.world.pass_minutes(15);
            let (code, next) = alice.refresh(&refresh);
            assert_eq!(code, 200, "{next}");
            assert_eq!(claims(text(&next, "accessJwt"))["scope"], scope);
            refresh = text(&next, "refreshJwt").to_owned();
        }
    }
    let (_, session) = alice.world.login("alice.test", "alice's password");
    assert_eq!(claims(text(&session, "accessJwt"))["scope"], "com.atproto.access");
}

#[test]
fn app_passwords_are_listed_and_revoked_with_their_sessions() {
    let alice = Alice::new();
    let password = alice.add_app_password("phone", false);
    alice.world.pass_minutes(1);
    alice.add_app_password("tablet", true);
    let list = || alice.world.get_as(Some(&alice.access), "com.atproto.server.listAppPasswords", &[]).1;
    let listed = list();
    let names: Vec<_> = listed["passwords"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["tablet", "phone"]);
    assert_eq!(listed["passwords"][0]["privileged"], true);
    assert!(listed["passwords"][0].get("password").is_none());

    let (_, session) = alice.world.login("alice.test", &password);
    let revoke = "com.atproto.server.revokeAppPassword";
    let access = text(&session, "accessJwt").to_owned();
    assert_eq!(alice.world.post_as(Some(&access), revoke, &json!({ "name": "phone" })).0, 200);
    assert_eq!(error(&alice.refresh(text(&session, "refreshJwt"))), (400, "ExpiredToken"));
    assert_eq!(alice.world.login("alice.test", &password).0, 401);
    assert_eq!(list()["passwords"].as_array().unwrap().len(), 1);
    assert_eq!(alice.refresh(&alice.refresh).0, 200, "the owner's own session goes on");
    assert_eq!(alice.world.post_as(Some(&access), revoke, &json!({ "name": "never" })).0, 200);
}

#[test]
fn an_app_password_makes_no_other_and_has_a_name() {
    let alice = Alice::new();
    let create = "com.atproto.server.createAppPassword";
    let password = alice.add_app_password("phone", true);
    let (_, session) = alice.world.login("alice.test", &password);
    let by_app = alice.world.post_as(Some(text(&session, "accessJwt")), create, &json!({ "name": "x" }));
    assert_eq!(error(&by_app), (400, "InvalidToken"));
    let long = "x".repeat(257);
    for input in [
        json!({ "name": "phone" }),
        json!({ "name": "" }),
        json!({ "name": " " }),
        json!({ "name": long }),
        json!({}),
    ] {
        let refused = alice.world.post_as(Some(&alice.access), create, &input);
        assert_eq!(error(&refused), (400, "InvalidRequest"), "{input}");
    }
    let list = alice.world.get_as(Some(&alice.access), "com.atproto.server.listAppPasswords", &[]).1;
    assert_eq!(list["passwords"].as_array().unwrap().len(), 1);
}

#[test]
fn a_used_refresh_token_works_for_two_hours_and_then_never() {
    let alice = Alice::new();
    let first = alice.refresh(&alice.refresh).1;
    let again = alice.refresh(&alice.refresh).1;
    let id = |answer: &Value| claims(text(answer, "refreshJwt"))["jti"].clone();
    assert_eq!(id(&first), id(&again), "two tabs end up in one session");
    alice.world.pass_minutes(119);
    let second = alice.refresh(text(&first, "refreshJwt"));
    assert_eq!(second.0, 200, "{}", second.1);
    assert_ne!(id(&second.1), id(&first));
    // Whoever comes with it later has stolen it, or was robbed: nothing that came of it works any more.
    alice.world.pass_minutes(2);
    let last = text(&second.1, "refreshJwt");
    assert_eq!(error(&alice.refresh(&alice.refresh)), (400, "ExpiredToken"));
    for token in [text(&first, "refreshJwt"), last] {
        assert_eq!(error(&alice.refresh(token)), (400, "ExpiredToken"));
    }
}

#[test]
fn a_logout_ends_what_a_tab_has_refreshed_meanwhile() {
    let alice = Alice::new();
    let next = alice.refresh(&alice.refresh).1;
    let next = text(&next, "refreshJwt");
    assert_eq!(alice.world.ask_as(Some(&alice.refresh), "com.atproto.server.deleteSession").0, 200);
    for token in [&alice.refresh, next] {
        assert_eq!(error(&alice.refresh(token)), (400, "ExpiredToken"));
    }
}

#[test]
fn an_account_that_is_taken_down_gets_next_to_nothing() {
    let alice = Alice::new();
    let password = alice.add_app_password("phone", true);
    alice.take_down(true);
    assert_eq!(error(&alice.refresh(&alice.refresh)), (401, "AccountTakedown"));
    let login = "com.atproto.server.createSession";
    let input = |password: &str, allow: bool| json!({ "identifier": "alice.test", "password": password, "allowTakendown": allow });
    let own = "alice's password";
    assert_eq!(error(&alice.world.post(login, &input(own, false))), (401, "AccountTakedown"));
    for allow in [true, false] {
        for wrong in [password.as_str(), "wrong"] {
            let refused = alice.world.post(login, &input(wrong, allow));
            assert_eq!(error(&refused), (401, "AuthenticationRequired"));
        }
    }
    let (code, session) = alice.world.post(login, &input(own, true));
    assert_eq!((code, &session["active"], &session["status"]), (200, &json!(false), &json!("takendown")));
    let access = text(&session, "accessJwt");
    assert_eq!(claims(access)["scope"], "com.atproto.takendown");
    assert_eq!(error(&alice.refresh(text(&session, "refreshJwt"))), (401, "AccountTakedown"));
    let leave = [("aud", APPVIEW), ("lxm", "com.atproto.server.createAccount")];
    assert_eq!(alice.grant(access, &leave).0, 200);
    for query in [vec![("aud", APPVIEW)], vec![("aud", APPVIEW), ("lxm", FEED)]] {
        assert_eq!(error(&alice.grant(access, &query)), (400, "InvalidToken"));
    }
    let write = json!({ "repo": alice.did, "collection": "com.example.note", "record": {} });
    let refused = alice.world.post_as(Some(access), "com.atproto.repo.createRecord", &write);
    assert_eq!(error(&refused), (400, "InvalidToken"));
    // The session that it had before says nothing either, and comes back with the account.
    let refused = alice.world.post_as(Some(&alice.access), "com.atproto.repo.createRecord", &write);
    assert_eq!(error(&refused), (401, "AccountTakedown"));
    alice.take_down(false);
    assert_eq!(
        error(&alice.refresh(text(&session, "refreshJwt"))),
        (400, "ExpiredToken"),
        "it was never stored"
    );
    assert_eq!(error(&alice.refresh(&alice.refresh)), (400, "ExpiredToken"), "all sessions ended");
    assert_eq!(alice.world.post(login, &input(own, false)).0, 200);
}

#[test]
fn a_deactivated_account_logs_in_and_is_told_so() {
    let alice = Alice::new();
    let nsid = "com.atproto.server.deactivateAccount";
    assert_eq!(alice.world.post_as(Some(&alice.access), nsid, &json!({})).0, 200);
    let (code, session) = alice.world.login("alice.test", "alice's password");
    assert_eq!((code, &session["active"], &session["status"]), (200, &json!(false), &json!("deactivated")));
    let (code, seen) = alice.world.get_as(Some(text(&session, "accessJwt")), SESSION, &[]);
    assert_eq!((code, &seen["status"]), (200, &json!("deactivated")));
    assert_eq!((&seen["email"], &seen["emailConfirmed"]), (&json!("alice@example.com"), &json!(false)));
    assert_eq!(alice.refresh(text(&session, "refreshJwt")).1["status"], "deactivated");
}

#[test]
fn a_service_token_names_the_account_the_service_and_the_method_and_verifies() {
    let alice = Alice::new();
    let now = alice.now();
    let (code, answer) = alice.grant(&alice.access, &[("aud", APPVIEW), ("lxm", FEED)]);
    assert_eq!(code, 200, "{answer}");
    let token = text(&answer, "token");
    let seen = claims(token);
    assert_eq!(
        (&seen["iss"], &seen["aud"], &seen["lxm"], &seen["iat"], &seen["exp"]),
        (&json!(alice.did), &json!(APPVIEW), &json!(FEED), &json!(now), &json!(now + 60))
    );
    let id = text(&seen, "jti");
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = alice.world.objects.accounts.borrow()[&did(&json!(alice.did))].signing_key().unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    VerifyingKey::from_did_key(&key).unwrap().verify(signed.as_bytes(), &signature).unwrap();
    let another = alice.grant(&alice.access, &[("aud", APPVIEW), ("lxm", FEED)]).1;
    assert_ne!(claims(text(&another, "token"))["jti"], seen["jti"]);
    assert!(claims(text(&alice.grant(&alice.access, &[("aud", APPVIEW)]).1, "token")).get("lxm").is_none());
}

#[test]
fn an_account_uploads_here_by_the_token_that_it_was_given() {
    let alice = Alice::new();
    let upload = "com.atproto.repo.uploadBlob";
    let (_, answer) = alice.grant(&alice.access, &[("aud", "did:web:pds.example"), ("lxm", upload)]);
    let method = Method { auth: Auth::AccessOrService, ..*table::find(upload).unwrap() };
    let header = format!("Bearer {}", text(&answer, "token"));
    let host = alice.world.host();
    let caller = block_on(host.authenticate(&method, Some(&header))).unwrap();
    assert_eq!(caller, Caller::Service(alice.did.parse().unwrap()));
    assert_eq!(block_on(host.uploader(&method, Some(&header))).unwrap().as_str(), alice.did);
    assert_eq!(alice.world.upload(&alice.did, Some(&header), b"bytes").0, 200);
    alice.take_down(true);
    assert_eq!(error(&alice.world.upload(&alice.did, Some(&header), b"others")), (401, "AccountTakedown"));
}

#[test]
fn a_service_token_lives_as_long_as_its_purpose_allows() {
    let alice = Alice::new();
    let now = alice.now();
    let ask = |exp: i64, lxm: Option<&str>| {
        let exp = exp.to_string();
        let mut query = vec![("aud", APPVIEW), ("exp", exp.as_str())];
        query.extend(lxm.map(|lxm| ("lxm", lxm)));
        alice.grant(&alice.access, &query)
    };
    let now = i64::try_from(now).unwrap();
    for (exp, lxm) in [(now + 3600, Some(FEED)), (now + 60, None), (now + 1, Some(FEED))] {
        let (code, answer) = ask(exp, lxm);
        assert_eq!((code, claims(text(&answer, "token"))["exp"].as_i64()), (200, Some(exp)));
    }
    let bad = [
        (now + 3601, Some(FEED)),
        (now + 61, None),
        (now, Some(FEED)),
        (now - 1, None),
        (0, None),
        (-1, Some(FEED)),
    ];
    for (exp, lxm) in bad {
        assert_eq!(error(&ask(exp, lxm)), (400, "BadExpiration"), "{}", exp - now);
    }
}

#[test]
fn no_service_token_is_made_for_methods_that_manage_the_account() {
    let alice = Alice::new();
    for lxm in [
        "com.atproto.server.createAppPassword",
        "COM.atproto.identity.updateHandle",
        "com.atproto.server.getSession",
    ] {
        let refused = alice.grant(&alice.access, &[("aud", APPVIEW), ("lxm", lxm)]);
        assert_eq!(error(&refused), (400, "InvalidRequest"), "{lxm}");
        assert!(text(&refused.1, "message").contains("protected"), "{lxm}");
    }
    let privileged = [
        "chat.bsky.convo.getLog",
        "Chat.Bsky.convo.sendMessage",
        "agent.comms.getHandedOver",
        "com.atproto.server.createAccount",
    ];
    for (scope, allowed) in
        [(Scope::AppPassword, false), (Scope::PrivilegedAppPassword, true), (Scope::Access, true)]
    {
        let header = alice.world.bearer(&alice.did, scope);
        let token = header.strip_prefix("Bearer ").unwrap();
        for lxm in privileged {
            let (code, answer) = alice.grant(token, &[("aud", APPVIEW), ("lxm", lxm)]);
            assert_eq!(code, if allowed { 200 } else { 400 }, "{scope:?} {lxm}: {answer}");
        }
        assert_eq!(alice.grant(token, &[("aud", APPVIEW), ("lxm", FEED)]).0, 200);
    }
    for aud in [
        "",
        "api.bsky.app",
        "did:key:zQ3sh",
        "did:web:",
        "did:web:x.example#",
        "did:web:x.example#a#b",
        "did:web:x.example#a b",
        "*",
    ] {
        let refused = alice.grant(&alice.access, &[("aud", aud), ("lxm", FEED)]);
        assert_eq!(error(&refused), (400, "InvalidRequest"), "{aud}");
    }
    assert_eq!(
        alice.grant(&alice.access, &[("aud", "did:web:api.bsky.app#bsky_appview"), ("lxm", FEED)]).0,
        200
    );
    assert_eq!(
        error(&alice.grant(&alice.access, &[("aud", APPVIEW), ("lxm", "nonsense")])),
        (400, "InvalidRequest")
    );
}
