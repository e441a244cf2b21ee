//! `agent.comms.subscribeInbox`: who is told what, and what is done on a socket.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use murmuration_data::json as data;
use murmuration_lexicons::{Catalog, message};
use murmuration_relay::limits::DRAIN_MS;
use murmuration_relay::{Message, Pump, Sockets, SubscriberId};
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::{self, Context, Reply};
use murmuration_xrpc::inbox::{
    Ask, FRAMES, Inbox, MAX_FRAME_BYTES, MAX_SOCKETS, MAX_WAITING, MOST_UNREAD_ANSWERS, STREAM, answered,
};
use murmuration_xrpc::method::Place;
use murmuration_xrpc::token::Scope;
use serde_json::{Value, json};

use crate::world;
use crate::world::agents::{Agent, texts};
use crate::world::{World, block_on};

/// Sockets whose other ends do nothing but read, or not.
#[derive(Default)]
struct Wire {
    sent: RefCell<BTreeMap<SubscriberId, Vec<Value>>>,
    kept: RefCell<BTreeMap<SubscriberId, String>>,
    closed: RefCell<BTreeMap<SubscriberId, String>>,
    full: RefCell<BTreeSet<SubscriberId>>,
    last: Cell<SubscriberId>,
}

impl Sockets for Wire {
    fn buffered(&self, id: SubscriberId) -> u64 {
        if self.full.borrow().contains(&id) { MOST_UNREAD_ANSWERS } else { 0 }
    }

    fn send(&self, ids: &[SubscriberId], message: Message<'_>) {
        let Message::Text(text) = message else { panic!("a frame") };
        for id in ids {
            assert!(!self.closed.borrow().contains_key(id), "{id} is closed");
            self.sent.borrow_mut().entry(*id).or_default().push(serde_json::from_str(text).unwrap());
        }
    }

    fn keep(&self, id: SubscriberId, attachment: &str) {
        assert!(attachment.len() < 2_000);
        self.kept.borrow_mut().insert(id, attachment.to_owned());
    }

    fn close(&self, id: SubscriberId, _: u16, reason: &str) {
        self.closed.borrow_mut().insert(id, reason.to_owned());
    }

    fn wake(&self, _: &[SubscriberId]) {}
}

/// The readers of one agent's inbox, as its object has them.
struct Line<'a> {
    world: &'a World,
    agent: &'a Agent,
    inbox: RefCell<Inbox>,
    wire: Wire,
}

impl<'a> Line<'a> {
    fn new(world: &'a World, agent: &'a Agent) -> Self {
        Self { world, agent, inbox: RefCell::default(), wire: Wire::default() }
    }

    fn inside<T>(&self, work: impl FnOnce(&Context<'_>, &mut Inbox, &Wire) -> T) -> T {
        let inside = |context: &Context<'_>| work(context, &mut self.inbox.borrow_mut(), &self.wire);
        self.world.inside(&self.agent.did, inside)
    }

    fn try_open(&self, token: Option<&str>, query: &[(&str, &str)]) -> Result<SubscriberId, String> {
        let header = token.map(|token| format!("Bearer {token}"));
        let query: Vec<_> =
            query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.inside(|context, inbox, wire| {
            let named = |error: XrpcError| error.error().to_owned();
            let ask = Ask::read(context, inbox, header.as_deref(), &query).map_err(named)?;
            if let Some(refusal) = ask.refusal(context).map_err(named)? {
                return Err(refusal.error.to_owned());
            }
            wire.last.set(wire.last.get() + 1);
            inbox.add(context, wire, wire.last.get(), ask, false).map_err(named)?;
            Ok(wire.last.get())
        })
    }

    fn open(&self, query: &[(&str, &str)]) -> SubscriberId {
        self.try_open(Some(&self.agent.token), query).unwrap()
    }

    fn after(&self, cursor: u64) -> SubscriberId {
        self.open(&[("cursor", &cursor.to_string())])
    }

    /// What the object does after each call.
    fn tend(&self) {
        self.inside(|context, inbox, wire| inbox.tend(context, wire)).unwrap();
    }

    fn pump(&self) -> Pump {
        self.inside(|context, inbox, wire| inbox.pump(context, wire)).unwrap()
    }

    fn pump_all(&self) {
        while self.pump() == Pump::Again {}
    }

    /// The object sleeps, and wakes.
    fn sleep(&self) {
        let mut inbox = Inbox::default();
        for (id, attachment) in &*self.wire.kept.borrow() {
            if !self.wire.closed.borrow().contains_key(id) {
                assert!(inbox.restore(*id, attachment));
            }
        }
        self.inbox.replace(inbox);
        self.world.objects.crash(&self.agent.did);
    }

    /// What a client has been sent since it last looked: payloads as the lexicon has them.
    fn read(&self, id: SubscriberId) -> Vec<Value> {
        let sent = self.wire.sent.borrow_mut().remove(&id).unwrap_or_default();
        sent.into_iter()
            .map(|mut told| {
                if told["$type"] == "error" {
                    return told;
                }
                assert_eq!(told["$type"], "message", "{told}");
                let payload = told["payload"].take();
                let kind = payload["$type"].as_str().unwrap();
                message(Catalog::builtin(), STREAM, kind, &data::from_value(&payload).unwrap()).unwrap();
                payload
            })
            .collect()
    }

    /// The same, in words: texts of what came, and receipts.
    fn words(&self, id: SubscriberId) -> Vec<String> {
        self.read(id).iter().map(word).collect()
    }

    fn say(&self, id: SubscriberId, frame: &Value) {
        self.shout(id, Some(&frame.to_string()));
    }

    /// A client says something, and the object does what is to be done.
    fn shout(&self, id: SubscriberId, text: Option<&str>) {
        let called = self.inside(|context, inbox, wire| inbox.hear(context, wire, id, text));
        let Some(called) = called else { return };
        let claims = called.claims.clone().unwrap();
        let answer = match called.method.place {
            Place::Host(run) => {
                block_on(self.world.host().answer_call(called.method, run, claims, called.input))
            }
            Place::Agent { run, .. } => self.inside(|context, _, _| {
                match agent::answer_call(context, called.method, run, claims, called.input)? {
                    Reply::Now(response) | Reply::Changed(response) | Reply::Sent(response, _) => {
                        Ok(response)
                    }
                    Reply::AfterWrite(..) => panic!("no write"),
                }
            }),
            _ => panic!("{} is called on no socket", called.method.nsid),
        };
        self.tend();
        self.inside(|_, inbox, wire| inbox.finish(wire, id, &answered(&called.id, answer)));
    }

    /// The answer of a call.
    fn call(&self, id: SubscriberId, method: &str, input: &Value) -> Value {
        self.say(id, &call("c1", &format!("agent.comms.{method}"), input));
        self.read(id).into_iter().find(|told| told["id"] == "c1").unwrap()
    }

    fn ended(&self, id: SubscriberId) -> String {
        let error = self.read(id).pop().unwrap();
        let reason = self.wire.closed.borrow()[&id].clone();
        assert_eq!((&error["$type"], &error["error"]), (&json!("error"), &json!(reason)));
        reason
    }
}

fn word(told: &Value) -> String {
    let kind = told["$type"].as_str().unwrap().strip_prefix(STREAM).unwrap_or("error");
    match kind {
        "#item" => texts(&[told["item"].clone()])[0].to_owned(),
        "#receipt" => told["receipt"]["state"].as_str().unwrap().to_owned(),
        "#info" => told["name"].as_str().unwrap().to_owned(),
        other => format!("{other} {}{}", told["id"].as_str().unwrap_or_default(), told["error"]),
    }
}

fn frame(kind: &str, mut payload: Value) -> Value {
    payload["$type"] = format!("{STREAM}{kind}").into();
    json!({ "$type": "message", "payload": payload })
}

fn call(id: &str, method: &str, input: &Value) -> Value {
    frame("#call", json!({ "id": id, "method": method, "input": input }))
}

fn letter(to: &Agent, text: &str) -> Value {
    let content = json!({ "kind": "text", "text": text });
    json!({ "record": { "$type": "agent.comms.message", "content": content }, "to": [to.did] })
}

fn world() -> (World, Agent, Agent) {
    let world = World::new();
    let (alice, bob) = (world.agent("alice"), world.agent("bob"));
    (world, alice, bob)
}

#[test]
fn a_reader_is_told_what_comes_and_can_resume_after_every_number() {
    let (world, alice, bob) = world();
    let line = Line::new(&world, &bob);
    world.tell(&alice, &bob.did, "before");
    line.tend();
    let live = line.open(&[]);
    assert_eq!(line.words(live), ["Live"]);
    for n in 0..3 {
        world.tell(&alice, &bob.did, &format!("m{n}"));
        line.tend();
        world.tell(&bob, &alice.did, &format!("answer {n}"));
        line.tend();
    }
    let told = line.read(live);
    let words: Vec<String> = told.iter().map(word).collect();
    assert_eq!(words, ["m0", "delivered", "m1", "delivered", "m2", "delivered"]);
    let numbers: Vec<u64> = told.iter().map(|told| told["seq"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|left, right| left < right), "{numbers:?}");
    assert_eq!(told[1]["receipt"]["to"], json!(alice.did));

    let all = line.after(0);
    line.pump_all();
    let mut replayed = line.read(all);
    assert_eq!(replayed.remove(0)["item"]["record"]["content"]["text"], "before");
    let info = replayed.pop().unwrap();
    assert_eq!((&info["name"], replayed), (&json!("Live"), told.clone()));
    for (at, number) in numbers.iter().enumerate() {
        let reader = line.after(*number);
        line.pump_all();
        let mut told_again = line.read(reader);
        assert_eq!(told_again.pop().unwrap()["name"], "Live");
        assert_eq!(told_again, told[at + 1..], "after {number}");
        line.inside(|_, inbox, _| inbox.remove(reader));
    }
    // What Live says is a cursor.
    world.tell(&alice, &bob.did, "later");
    line.tend();
    let reader = line.after(info["seq"].as_u64().unwrap());
    line.pump_all();
    assert_eq!(line.words(reader), ["later", "Live"]);
}

#[test]
fn nothing_is_told_twice_or_missed_where_a_replay_becomes_live() {
    let (world, alice, bob) = world();
    let line = Line::new(&world, &bob);
    let mut sent = 0;
    let mut tell = |count: usize| {
        for _ in 0..count {
            world.tell(&alice, &bob.did, &sent.to_string());
            sent += 1;
        }
    };
    tell(40);
    line.tend();
    let reader = line.after(0);
    let mut told = Vec::new();
    // Messages come before, between and behind the turns of the replay, and the object sleeps among them.
    for round in 0..8 {
        tell(3);
        line.tend();
        if round % 3 == 1 {
            line.sleep();
        }
        line.pump();
        told.extend(line.words(reader));
    }
    line.pump_all();
    told.extend(line.words(reader));
    assert_eq!(told.iter().filter(|word| *word == "Live").count(), 1);
    told.retain(|word| word != "Live");
    assert_eq!(told, (0..64).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn who_does_not_read_is_cut_and_others_are_not_kept_waiting() {
    let (world, alice, bob) = world();
    let line = Line::new(&world, &bob);
    let (slow, quick) = (line.open(&[]), line.open(&[]));
    world.tell(&alice, &bob.did, "m0");
    line.tend();
    assert_eq!(
        (line.words(slow), line.words(quick)),
        (vec!["Live".into(), "m0".into()], vec!["Live".into(), "m0".into()])
    );
    line.wire.full.borrow_mut().insert(slow);
    for n in 1..4 {
        world.tell(&alice, &bob.did, &format!("m{n}"));
        line.tend();
    }
    assert_eq!(line.words(quick), ["m1", "m2", "m3"]);
    assert!(line.read(slow).is_empty(), "nothing is heaped up for it");
    assert!(matches!(line.pump(), Pump::Pause(_)));
    // It reads on in time: it is told what it has missed, and is live again.
    line.wire.full.borrow_mut().clear();
    line.pump_all();
    assert_eq!(line.words(slow), ["m1", "m2", "m3"]);
    line.wire.full.borrow_mut().insert(slow);
    world.tell(&alice, &bob.did, "m4");
    line.tend();
    line.pump();
    world.pass_minutes(DRAIN_MS.div_ceil(60_000));
    line.pump();
    assert_eq!(line.ended(slow), "ConsumerTooSlow");
    assert_eq!(line.words(quick), ["m4"]);
    // Nor are answers heaped up for who only asks.
    line.wire.full.borrow_mut().insert(quick);
    line.say(quick, &call("c1", "agent.comms.claimMessages", &json!({})));
    assert_eq!(line.ended(quick), "ConsumerTooSlow");
}

#[test]
fn an_agent_lives_on_one_socket() {
    let (world, alice, bob) = world();
    let (here, there) = (Line::new(&world, &alice), Line::new(&world, &bob));
    let (a, b) = (here.open(&[]), there.open(&[]));
    let _ = (here.read(a), there.read(b));
    let sent = here.call(a, "sendMessage", &letter(&bob, "over the wire"));
    assert_eq!(
        (&sent["$type"], &sent["output"]["receipts"][0]["state"]),
        (&json!(format!("{STREAM}#answer")), &json!("delivered"))
    );
    there.tend();
    let told = there.read(b);
    assert_eq!(texts(&[told[0]["item"].clone()]), ["over the wire"]);
    assert_eq!(told[0]["item"]["parcel"]["header"]["id"], sent["output"]["id"]);
    let claimed = there.call(b, "claimMessages", &json!({ "max": 5 }));
    let lease = claimed["output"]["items"][0]["leaseId"].clone();
    let acks = json!({ "results": [{ "leaseId": lease, "outcome": "done" }] });
    assert_eq!(there.call(b, "ackMessages", &acks)["output"], json!({ "acked": 1, "missing": [] }));
    // The other way, over HTTP: it is the same inbox.
    assert!(world.claim(&bob).is_empty());
    let task = json!({ "record": { "$type": "agent.comms.request", "task": "sound" }, "to": [bob.did] });
    let asked = here.call(a, "sendMessage", &task);
    let off = here.call(a, "cancelTask", &json!({ "request": asked["output"]["uri"] }));
    assert_eq!(off["output"]["state"], "canceled");
}

#[test]
fn a_call_on_a_socket_is_refused_as_it_is_over_http_and_its_answer_names_it() {
    let (world, alice, bob) = world();
    let line = Line::new(&world, &alice);
    let id = line.open(&[]);
    let mut huge = letter(&bob, "");
    huge["record"]["note"] = "x".repeat(300_000).into();
    for (method, input) in [
        ("sendMessage", json!({})),
        ("sendMessage", json!({ "record": { "$type": "agent.comms.message" }, "to": [bob.did] })),
        ("sendMessage", json!({ "record": {}, "to": ["bob"] })),
        (
            "sendMessage",
            json!({ "record": letter(&bob, "x")["record"], "to": ["did:plc:nobodynobodynobodynobody"] }),
        ),
        ("sendMessage", huge),
        ("claimMessages", json!({ "max": 51 })),
        ("ackMessages", json!({ "results": [] })),
        ("cancelTask", json!({ "request": "at://did:web:a.test/agent.comms.request/3lznm6spegk2z" })),
    ] {
        let (status, refused) = world.call(&alice, method, &input);
        let told = line.call(id, method, &input);
        assert_eq!(
            (&told["$type"], &told["status"], &told["error"], &told["message"]),
            (&json!(format!("{STREAM}#failure")), &json!(status), &refused["error"], &refused["message"]),
            "{method}"
        );
        assert!(status >= 400);
    }
    for other in ["com.atproto.server.deleteSession", "agent.comms.listInbox", "com.atproto.repo.putRecord"] {
        line.say(id, &call("c9", other, &json!({})));
        let told = line.read(id).pop().unwrap();
        assert_eq!((&told["id"], &told["status"]), (&json!("c9"), &json!(501)), "{other}");
    }
    let big = json!({ "results": "x".repeat(200_000) });
    assert_eq!(line.call(id, "ackMessages", &big)["error"], "PayloadTooLarge");
}

#[test]
fn what_is_no_frame_ends_the_stream() {
    let (world, alice, _) = world();
    let line = Line::new(&world, &alice);
    let long = call("c", "agent.comms.sendMessage", &json!("x".repeat(MAX_FRAME_BYTES)));
    for text in [
        String::new(),
        "ping".into(),
        "[]".into(),
        json!({ "$type": "message" }).to_string(),
        json!({ "$type": "error", "payload": call("c", "agent.comms.ackMessages", &json!({}))["payload"] })
            .to_string(),
        frame("#item", json!({ "id": "c" })).to_string(),
        frame("#call", json!({ "method": "agent.comms.ackMessages", "input": {} })).to_string(),
        call("", "agent.comms.ackMessages", &json!({})).to_string(),
        call(&"c".repeat(65), "agent.comms.ackMessages", &json!({})).to_string(),
        call("c", "no method", &json!({})).to_string(),
        long.to_string(),
    ] {
        let id = line.open(&[]);
        line.shout(id, Some(&text));
        assert_eq!(line.ended(id), "InvalidFrame", "{:.80}", text);
    }
    let id = line.open(&[]);
    line.shout(id, None);
    assert_eq!(line.ended(id), "InvalidFrame");
}

#[test]
fn sockets_frames_and_calls_have_their_limits() {
    let (world, alice, bob) = world();
    let line = Line::new(&world, &alice);
    let ids: Vec<_> = (0..MAX_SOCKETS).map(|_| line.open(&[])).collect();
    assert_eq!(line.try_open(Some(&alice.token), &[]), Err("RateLimitExceeded".into()));
    line.inside(|_, inbox, _| inbox.remove(ids[0]));
    line.open(&[]);

    // Calls that have not been answered.
    let text = call("c", "agent.comms.sendMessage", &letter(&bob, "x")).to_string();
    let hear = |id| line.inside(|context, inbox, wire| inbox.hear(context, wire, id, Some(&text)));
    assert!((0..MAX_WAITING).all(|_| hear(ids[1]).is_some()));
    let _ = line.read(ids[2]);
    assert!(hear(ids[2]).is_none());
    let refused = line.read(ids[2]).pop().unwrap();
    assert_eq!(
        (&refused["id"], &refused["status"], &refused["retryAfterSeconds"]),
        (&json!("c"), &json!(429), &json!(1))
    );
    line.inside(|_, inbox, wire| {
        inbox.finish(wire, ids[1], &answered("c", Err(XrpcError::not_implemented())))
    });
    assert!(hear(ids[2]).is_some());

    let claim = call("c", "agent.comms.claimMessages", &json!({})).to_string();
    for _ in 0..FRAMES.points {
        line.inside(|context, inbox, wire| inbox.hear(context, wire, ids[3], Some(&claim)));
    }
    line.shout(ids[3], Some(&claim));
    assert_eq!(line.ended(ids[3]), "RateLimitExceeded");
}

#[test]
fn a_socket_is_opened_as_a_method_is_called_and_ends_with_what_opened_it() {
    let (world, alice, bob) = world();
    let line = Line::new(&world, &alice);
    assert_eq!(line.try_open(None, &[]), Err("AuthMissing".into()));
    assert_eq!(line.try_open(Some("x"), &[]), Err("InvalidToken".into()));
    assert_eq!(line.try_open(Some(&bob.token), &[]), Err("InvalidToken".into()));
    assert_eq!(line.try_open(Some(&alice.token), &[("cursor", "soon")]), Err("InvalidRequest".into()));
    let future = (world.now_millis() + 60_000) * 1_000;
    assert_eq!(
        line.try_open(Some(&alice.token), &[("cursor", &future.to_string())]),
        Err("FutureCursor".into())
    );

    // The token ends, and the alarm or the next frame finds it.
    let (first, renewed) = (line.open(&[]), line.open(&[]));
    let end = line.inside(|_, inbox, _| inbox.next_end()).unwrap();
    assert!((119..=120).contains(&((end / 1_000 - world.now_millis()) / 60_000)));
    world.pass_minutes(60);
    let (_, session) = world.login("alice.test", "alice's password");
    let _ = line.read(renewed);
    line.say(renewed, &frame("#renew", json!({ "id": "r", "accessJwt": session["accessJwt"] })));
    assert_eq!(line.words(renewed), ["#answer rnull"]);
    line.say(renewed, &frame("#renew", json!({ "id": "r", "accessJwt": bob.token })));
    assert_eq!(line.words(renewed), ["#failure r\"InvalidToken\""]);
    world.pass_minutes(61);
    line.sleep();
    world.tell(&world.agent("carol"), &alice.did, "too late for one");
    line.tend();
    assert_eq!(line.ended(first), "ExpiredToken");
    assert_eq!(line.words(renewed), ["too late for one"]);

    // The account is put to rest.
    let token = session["accessJwt"].as_str().unwrap();
    world.post_as(Some(token), "com.atproto.server.deactivateAccount", &json!({}));
    line.tend();
    assert_eq!(line.ended(renewed), "AccountDeactivated");
    assert_eq!(line.try_open(Some(token), &[]), Err("AccountDeactivated".into()));
}

#[test]
fn an_app_password_reaches_no_messages_unless_it_is_privileged() {
    let (world, alice, bob) = world();
    world.tell(&bob, &alice.did, "for alice");
    let line = Line::new(&world, &alice);
    for (scope, opens) in
        [(Scope::AppPassword, false), (Scope::PrivilegedAppPassword, true), (Scope::Access, true)]
    {
        let header = world.bearer(alice.did.as_str(), scope);
        let token = header.strip_prefix("Bearer ");
        assert_eq!(line.try_open(token, &[]).is_ok(), opens, "{scope:?}");
        for method in ["listInbox", "listThreads", "listTasks"] {
            let (code, answer) =
                world.ask(&format!("agent.comms.{method}"), Some(&header), &[], &Value::Null);
            assert_eq!(code == 200, opens, "{scope:?}: {answer}");
            assert_eq!(answer["error"] == "InvalidToken", !opens, "{answer}");
        }
        // What is sent in the agent's name is private, too.
        let record = json!({ "$type": "agent.comms.message", "content": { "kind": "text", "text": "x" } });
        let input = json!({ "record": record, "to": [bob.did] });
        let (code, answer) = world.ask("agent.comms.sendMessage", Some(&header), &[], &input);
        assert_eq!(code == 200, opens, "{scope:?}: {answer}");
    }
}

#[test]
fn the_end_of_a_session_ends_its_sockets_and_no_others() {
    let (world, alice, _) = world();
    let line = Line::new(&world, &alice);
    let log_in = |password: &str| world.login("alice.test", password).1;
    let text = |session: &Value, name: &str| session[name].as_str().unwrap().to_owned();
    let (phone, desk) = (log_in("alice's password"), log_in("alice's password"));
    let input = json!({ "name": "tool", "privileged": true });
    let made = world.post_as(Some(&alice.token), "com.atproto.server.createAppPassword", &input).1;
    let tool = log_in(made["password"].as_str().unwrap());
    let open = |session: &Value| line.try_open(Some(&text(session, "accessJwt")), &[]).unwrap();
    let (first, on_phone, at_desk, of_tool) = (line.open(&[]), open(&phone), open(&desk), open(&tool));
    // Opened before a refresh, and after it.
    let refresh = "com.atproto.server.refreshSession";
    let later = world.post_as(Some(&text(&phone, "refreshJwt")), refresh, &Value::Null).1;
    let on_phone_later = open(&later);
    line.tend();
    line.sleep();

    let end = "com.atproto.server.deleteSession";
    assert_eq!(world.post_as(Some(&text(&later, "refreshJwt")), end, &Value::Null).0, 200);
    line.tend();
    for id in [on_phone, on_phone_later] {
        assert_eq!(line.ended(id), "SessionEnded");
    }
    let closed = || line.wire.closed.borrow().len();
    assert_eq!(closed(), 2);
    world.post_as(Some(&alice.token), "com.atproto.server.revokeAppPassword", &input);
    line.tend();
    assert_eq!((line.ended(of_tool).as_str(), closed()), ("SessionEnded", 3));

    // What is ended once more is nobody's; a new password ends all.
    assert_eq!(world.post_as(Some(&text(&later, "refreshJwt")), end, &Value::Null).0, 200);
    line.tend();
    assert_eq!(closed(), 3);
    let input = json!({ "did": alice.did, "password": "another password" });
    let changed =
        world.ask("com.atproto.admin.updateAccountPassword", Some(world::ask::OPERATOR), &[], &input);
    assert_eq!(changed.0, 200, "{}", changed.1);
    line.tend();
    assert_eq!([line.ended(first), line.ended(at_desk)], ["SessionEnded", "SessionEnded"]);
}

#[test]
fn a_takedown_ends_the_streams_of_an_account() {
    let (world, alice, _) = world();
    let line = Line::new(&world, &alice);
    let id = line.open(&[]);
    let subject = json!({ "$type": "com.atproto.admin.defs#repoRef", "did": alice.did });
    let input = json!({ "subject": subject, "takedown": { "applied": true, "ref": "x" } });
    let (code, answer) =
        world.ask("com.atproto.admin.updateSubjectStatus", Some(world::ask::OPERATOR), &[], &input);
    assert_eq!(code, 200, "{answer}");
    line.tend();
    assert_eq!(line.ended(id), "AccountTakedown");
}

#[test]
fn a_reader_may_want_the_bodies_closed() {
    let (world, alice, bob) = world();
    let line = Line::new(&world, &bob);
    let (open, closed) = (line.open(&[]), line.open(&[("includeDecrypted", "false")]));
    world.tell(&alice, &bob.did, "secret");
    line.tend();
    assert_eq!(line.words(open), ["Live", "secret"]);
    assert_eq!(line.words(closed), ["Live", "(closed)"]);
}
