//! What hangs on mail: addresses, and forgotten passwords.

use std::cell::{Cell, RefCell};
use std::future::ready;

use murmuration_bridge::CfDid;
use murmuration_platform::{Letter, Mailer, Outbound, OutboundFuture, OutboundRequest, OutboundResponse};
use murmuration_syntax::Did;
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::internal::InternalCall;
use murmuration_xrpc::config::HttpMail;
use murmuration_xrpc::host::{AgentAnswer, Agents, Directory, Host, Task};
use murmuration_xrpc::http::{Request, Verb};
use murmuration_xrpc::mail::HttpMailer;
use murmuration_xrpc::method::Place;
use murmuration_xrpc::public::IndexCall;
use murmuration_xrpc::table::find;
use serde_json::{Value, json};

use crate::world::ask::OPERATOR;
use crate::world::{Fault, World, block_on, did};

const NS: &str = "com.atproto.server";

struct Alice {
    did: Did,
    header: String,
}

fn alice(world: &World) -> Alice {
    let (status, answer) = world.create("alice");
    assert_eq!(status, 200, "{answer}");
    Alice { did: did(&answer["did"]), header: format!("Bearer {}", answer["accessJwt"].as_str().unwrap()) }
}

impl Alice {
    fn ask(&self, world: &World, method: &str, input: Value) -> (u16, Value) {
        world.ask(&format!("{NS}.{method}"), Some(&self.header), &[], &input)
    }

    #[track_caller]
    fn asks(&self, world: &World, method: &str, input: Value) -> Value {
        let (status, body) = self.ask(world, method, input);
        assert_eq!(status, 200, "{method}: {body}");
        body
    }

    #[track_caller]
    fn is_refused(&self, world: &World, method: &str, input: Value, error: &str) {
        let (status, body) = self.ask(world, method, input);
        assert_eq!((status, &body["error"]), (400, &json!(error)), "{method}: {body}");
    }

    fn session(&self, world: &World) -> Value {
        world.ask(&format!("{NS}.getSession"), Some(&self.header), &[], &Value::Null).1
    }

    fn confirm(&self, world: &World) {
        self.asks(world, "requestEmailConfirmation", Value::Null);
        let token = world.postbox.code("confirm_email");
        let email = self.session(world)["email"].clone();
        self.asks(world, "confirmEmail", json!({ "email": email, "token": token }));
    }
}

fn email_of(world: &World, did: &Did) -> Option<String> {
    block_on(Directory::new(&world.shelf.store).by_did(did)).unwrap().unwrap().email
}

#[test]
fn an_address_is_confirmed_by_the_code_that_was_sent_to_it() {
    let world = World::new();
    let alice = alice(&world);
    assert_eq!(alice.session(&world)["emailConfirmed"], false);
    alice.asks(&world, "requestEmailConfirmation", Value::Null);
    assert_eq!(world.postbox.letters.borrow()[0].to, "alice@example.com");
    let token = world.postbox.code("confirm_email");
    let with = |email: &str, token: &str| json!({ "email": email, "token": token });
    alice.is_refused(&world, "confirmEmail", with("bob@example.com", &token), "InvalidEmail");
    alice.is_refused(&world, "confirmEmail", with("alice@example.com", "AAAAA-AAAAA"), "InvalidToken");
    alice.asks(&world, "confirmEmail", with("Alice@Example.com", &token.to_lowercase()));
    assert_eq!(alice.session(&world)["emailConfirmed"], true);
    alice.is_refused(&world, "confirmEmail", with("alice@example.com", &token), "InvalidToken");

    alice.asks(&world, "requestEmailConfirmation", Value::Null);
    let token = world.postbox.code("confirm_email");
    world.pass_minutes(15);
    alice.is_refused(&world, "confirmEmail", with("alice@example.com", &token), "ExpiredToken");
}

#[test]
fn an_address_that_is_not_confirmed_changes_without_a_code() {
    let world = World::new();
    let alice = alice(&world);
    assert_eq!(alice.asks(&world, "requestEmailUpdate", Value::Null)["tokenRequired"], false);
    assert!(world.postbox.letters.borrow().is_empty());
    alice.asks(&world, "updateEmail", json!({ "email": "Alice@New.example" }));
    assert_eq!(alice.session(&world)["email"], "alice@new.example");
    assert_eq!(email_of(&world, &alice.did).as_deref(), Some("alice@new.example"));
    assert_eq!(world.login("alice@new.example", "alice's password").0, 200);
    assert_eq!(world.login("alice@example.com", "alice's password").0, 401);
}

#[test]
fn a_confirmed_address_changes_with_a_code_sent_to_it() {
    let world = World::new();
    let alice = alice(&world);
    alice.confirm(&world);
    let new = json!({ "email": "alice@new.example" });
    alice.is_refused(&world, "updateEmail", new.clone(), "TokenRequired");
    assert_eq!(alice.asks(&world, "requestEmailUpdate", Value::Null)["tokenRequired"], true);
    assert_eq!(world.postbox.letters.borrow().last().unwrap().to, "alice@example.com");
    let token = world.postbox.code("update_email");
    let with = |token: &str| json!({ "email": "alice@new.example", "token": token });
    alice.is_refused(&world, "updateEmail", with("AAAAA-AAAAA"), "InvalidToken");
    assert_eq!(email_of(&world, &alice.did).as_deref(), Some("alice@example.com"));
    alice.asks(&world, "updateEmail", with(&token));
    let session = alice.session(&world);
    assert_eq!((&session["email"], &session["emailConfirmed"]), (&json!("alice@new.example"), &json!(false)));
    alice.confirm(&world);
    alice.is_refused(&world, "updateEmail", with(&token), "InvalidToken");
}

/// The accounts' objects, of which the second call comes behind another request's.
struct Overtaken<'a> {
    world: &'a World,
    calls: Cell<usize>,
    other: &'a dyn Fn(),
}

impl Agents for Overtaken<'_> {
    fn call<'a>(&'a self, did: &'a Did, call: InternalCall) -> Task<'a, Result<AgentAnswer, XrpcError>> {
        if self.calls.replace(self.calls.get() + 1) == 1 {
            (self.other)();
        }
        self.world.objects.call(did, call)
    }

    fn reseal_webhooks(&self) -> Task<'_, Result<AgentAnswer, XrpcError>> {
        self.world.objects.reseal_webhooks()
    }

    fn ask_index<'a>(&'a self, call: &'a IndexCall) -> Task<'a, Result<AgentAnswer, XrpcError>> {
        self.world.objects.ask_index(call)
    }

    fn alias(&self, did: &Did) -> Result<CfDid, XrpcError> {
        self.world.objects.alias(did)
    }
}

#[test]
fn of_two_changes_of_address_at_once_with_one_code_one_is_made() {
    let world = World::new();
    let alice = alice(&world);
    alice.confirm(&world);
    alice.asks(&world, "requestEmailUpdate", Value::Null);
    let code = world.postbox.code("update_email");
    let input = |email: &str| json!({ "email": email, "token": code });
    let other = || drop(alice.asks(&world, "updateEmail", input("second@new.example")));
    let agents = Overtaken { world: &world, calls: Cell::new(0), other: &other };
    let host = Host { agents: &agents, ..world.host() };
    let method = find(&format!("{NS}.updateEmail")).unwrap();
    let Place::Host(run) = method.place else { panic!("it runs elsewhere") };
    let request = Request {
        verb: Verb::Post,
        nsid: method.nsid.into(),
        query: Vec::new(),
        authorization: Some(alice.header.clone()),
        content_type: Some("application/json".into()),
        body: input("first@new.example").to_string().into_bytes(),
    };
    let refusal = block_on(host.answer(method, run, &request)).err().unwrap();
    assert_eq!((refusal.status(), refusal.error()), (400, "InvalidToken"));
    assert_eq!(alice.session(&world)["email"], "second@new.example");
    assert_eq!(email_of(&world, &alice.did).as_deref(), Some("second@new.example"));
}

#[test]
fn no_two_accounts_have_one_address_and_refused_domains_have_none() {
    let world = World::with(&[("REFUSED_MAIL_DOMAINS", "Trash.example, throwaway.test")]);
    let alice = alice(&world);
    assert_eq!(world.create("bob").0, 200);
    for email in ["bob@example.com", "BOB@example.com", "a@trash.example", "a@x.TRASH.example", "a", ""] {
        alice.is_refused(&world, "updateEmail", json!({ "email": email }), "InvalidRequest");
    }
    assert_eq!(email_of(&world, &alice.did).as_deref(), Some("alice@example.com"));
    assert_eq!(world.create_with("carol", json!({ "email": "carol@trash.example" })).0, 400);
    assert_eq!(world.create_with("carol", json!({ "email": "carol@nottrash.example" })).0, 200);
}

/// Every step of a change fails in every way; repeating the call makes both places agree.
#[test]
fn sim_an_address_changes_in_both_places_whatever_fails() {
    for kind in [Fault::Refused, Fault::Lost, Fault::Dead] {
        for step in 0.. {
            let world = World::new();
            let alice = alice(&world);
            alice.confirm(&world);
            alice.asks(&world, "requestEmailUpdate", Value::Null);
            let input = json!({ "email": "alice@new.example", "token": world.postbox.code("update_email") });
            world.faults.calls.set(0);
            world.faults.planned.set(Some(kind(step)));
            let (status, _) = alice.ask(&world, "updateEmail", input.clone());
            let struck = world.faults.calls.get() > step;
            world.faults.planned.set(None);
            if status != 200 && alice.session(&world)["email"] == "alice@example.com" {
                assert_eq!(alice.ask(&world, "updateEmail", input).0, 200, "{:?}", kind(step));
            }
            let session = alice.session(&world);
            assert_eq!(session["email"], "alice@new.example", "{:?}", kind(step));
            assert_eq!(email_of(&world, &alice.did).as_deref(), Some("alice@new.example"));
            assert!(step < 9);
            if !struck {
                break;
            }
        }
    }
}

#[test]
fn a_forgotten_password_is_set_by_code_and_ends_every_session() {
    let world = World::new();
    let (_, answer) = world.create("alice");
    let refresh = format!("Bearer {}", answer["refreshJwt"].as_str().unwrap());
    let request = |email: &str| world.post(&format!("{NS}.requestPasswordReset"), &json!({ "email": email }));
    assert_eq!(request("Alice@example.com").0, 200);
    let token = world.postbox.code("reset_password");
    let reset = |token: &str, password: &str| {
        world.post(&format!("{NS}.resetPassword"), &json!({ "token": token, "password": password }))
    };
    let refused = |answer: (u16, Value), error: &str| {
        assert_eq!((answer.0, &answer.1["error"]), (400, &json!(error)), "{}", answer.1);
    };
    refused(reset("AAAAA-AAAAA", "new"), "InvalidToken");
    refused(reset(&token, &"x".repeat(257)), "InvalidRequest");
    refused(reset(&token, ""), "InvalidRequest");
    assert_eq!(world.login("alice.test", "alice's password").0, 200);
    assert_eq!(reset(&token, "a new password").0, 200);
    assert_eq!(world.login("alice.test", "alice's password").0, 401);
    assert_eq!(world.login("alice.test", "a new password").0, 200);
    let (status, body) = world.ask(&format!("{NS}.refreshSession"), Some(&refresh), &[], &Value::Null);
    assert_eq!((status, &body["error"]), (400, &json!("ExpiredToken")));
    refused(reset(&token, "again"), "InvalidToken");

    assert_eq!(request("alice@example.com").0, 200);
    let token = world.postbox.code("reset_password");
    world.pass_minutes(15);
    refused(reset(&token, "late"), "ExpiredToken");
}

/// The Worker dies at every step of a change, and its owner does not come back to it but logs in, by a name of any kind.
#[test]
fn sim_a_change_of_address_that_died_is_settled_by_the_next_session() {
    let mut apart = 0;
    for name in ["alice.test", "alice@example.com", "alice@new.example"] {
        for step in 0.. {
            let world = World::new();
            let alice = alice(&world);
            world.faults.calls.set(0);
            world.faults.planned.set(Some(Fault::Dead(step)));
            alice.ask(&world, "updateEmail", json!({ "email": "alice@new.example" }));
            let struck = world.faults.calls.get() > step;
            world.faults.planned.set(None);
            let own = alice.session(&world)["email"].as_str().unwrap().to_owned();
            let known = email_of(&world, &alice.did);
            // Whoever had the old address may not even be found by it.
            let (status, _) = world.login(name, "alice's password");
            assert_eq!(status == 200, !name.contains('@') || known.as_deref() == Some(name));
            if status == 200 {
                apart += usize::from(known.as_deref() != Some(own.as_str()));
                assert_eq!(email_of(&world, &alice.did).as_deref(), Some(own.as_str()), "{name}, {step}");
            }
            if !struck {
                break;
            }
        }
    }
    assert!(apart >= 2, "the two disagreed {apart} times");
}

#[test]
fn asking_for_a_new_password_does_not_tell_who_has_an_account() {
    let world = World::new();
    alice(&world);
    let request = |email: &str| world.post(&format!("{NS}.requestPasswordReset"), &json!({ "email": email }));
    assert_eq!(request("alice@example.com"), request("nobody@example.com"));
    assert_eq!(world.postbox.letters.borrow().len(), 1);
}

#[test]
fn a_host_without_mail_says_so_and_its_operator_confirms() {
    let world = World::new();
    let alice = alice(&world);
    world.no_mail.set(true);
    alice.is_refused(&world, "requestEmailConfirmation", Value::Null, "InvalidRequest");
    for email in ["alice@example.com", "nobody@example.com"] {
        let (status, body) = world.post(&format!("{NS}.requestPasswordReset"), &json!({ "email": email }));
        assert_eq!((status, &body["error"]), (400, &json!("InvalidRequest")));
        assert!(body["message"].as_str().unwrap().contains("operator"));
    }
    let update = json!({ "account": alice.did, "email": "alice@example.com" });
    let method = "com.atproto.admin.updateAccountEmail";
    assert_eq!(world.ask(method, Some(OPERATOR), &[], &update).0, 200);
    assert_eq!(alice.session(&world)["emailConfirmed"], true);
    // From now on a change wants a code, which the operator hands over.
    alice.is_refused(&world, "requestEmailUpdate", Value::Null, "InvalidRequest");
    let issue = |purpose: &str| {
        let input = json!({ "did": alice.did, "purpose": purpose });
        assert_eq!(world.ask("agent.host.issueCode", Some(&alice.header), &[], &input).0, 401);
        world.ask("agent.host.issueCode", Some(OPERATOR), &[], &input)
    };
    let code = |purpose: &str| issue(purpose).1["code"].clone();
    assert_eq!(issue("lunch").0, 400);
    let change = json!({ "email": "alice@new.example", "token": code("update_email") });
    alice.asks(&world, "updateEmail", change);
    let confirm = json!({ "email": "alice@new.example", "token": code("confirm_email") });
    alice.asks(&world, "confirmEmail", confirm);
    let reset = json!({ "token": code("reset_password"), "password": "another" });
    assert_eq!(world.post(&format!("{NS}.resetPassword"), &reset).0, 200);
    assert_eq!(world.login("alice.test", "another").0, 200);
    assert_eq!(code("plc_operation").as_str().unwrap().len(), 11);
    world.no_mail.set(false);
    assert_eq!(world.ask(method, Some(OPERATOR), &[], &update).0, 200);
    assert_eq!(alice.session(&world)["emailConfirmed"], false);
}

#[test]
fn who_is_taken_down_gets_a_code_for_leaving_and_for_nothing_else() {
    let world = World::new();
    let alice = alice(&world);
    let status = json!({
        "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": alice.did },
        "takedown": { "applied": true, "ref": "1" },
    });
    assert_eq!(world.ask("com.atproto.admin.updateSubjectStatus", Some(OPERATOR), &[], &status).0, 200);
    let refused = |method: &str, input: Value| {
        let (status, body) = alice.ask(&world, method, input);
        assert_eq!((status, &body["error"]), (401, &json!("AccountTakedown")), "{method}");
    };
    for method in ["requestEmailConfirmation", "requestEmailUpdate", "requestAccountDelete"] {
        refused(method, Value::Null);
    }
    refused("updateEmail", json!({ "email": "a@b.example" }));
    let plc = murmuration_account::Purpose::PlcOperation;
    block_on(world.host().send_code(&alice.did, plc, true)).unwrap();
    assert_eq!(world.postbox.code("plc_operation").len(), 11);
}

struct Api(RefCell<Vec<OutboundRequest>>, u16);

impl Outbound for Api {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        self.0.borrow_mut().push(request);
        let body = b"the code was AAAAA-BBBBB".to_vec();
        Box::pin(ready(Ok(OutboundResponse { status: self.1, headers: Vec::new(), body })))
    }
}

#[test]
fn a_letter_by_http_is_one_post_of_json_and_its_failure_says_nothing_of_it() {
    let config = HttpMail {
        url: "https://mail.example/send".into(),
        token: "secret".into(),
        from: "pds@example.com".into(),
    };
    assert!(!format!("{config:?}").contains("secret"));
    let letter =
        Letter { to: "a@b.example".into(), subject: "s".into(), text: "AAAAA-BBBBB".into(), purpose: "x" };
    let api = Api(RefCell::default(), 202);
    block_on(HttpMailer::new(&config, &api).send(letter.clone())).unwrap();
    let sent = api.0.borrow();
    assert_eq!(sent[0].url, config.url);
    assert!(sent[0].headers.contains(&("authorization".into(), "Bearer secret".into())));
    assert_eq!(
        serde_json::from_slice::<Value>(&sent[0].body).unwrap(),
        json!({ "from": "pds@example.com", "to": "a@b.example", "subject": "s", "text": "AAAAA-BBBBB" })
    );
    let api = Api(RefCell::default(), 422);
    let error = block_on(HttpMailer::new(&config, &api).send(letter)).unwrap_err().to_string();
    assert!(error.contains("422") && !error.contains("AAAAA"), "{error}");
}
