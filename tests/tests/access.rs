//! Access: every route of the Worker, and what it asks of whoever comes.
//!
//! The table of methods here is a second one, written by hand: a method that is added, or opened, fails until somebody has
//! decided what it asks for and how far it reaches.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::BASE64;
use murmuration_tests::{Account, Agent, Answer, Client, Reply, Setup, StandIn, World};
use murmuration_xrpc::host::paths;
use murmuration_xrpc::method::{Auth, Kind, Method, Place, Route};
use murmuration_xrpc::table::{find, methods};
use serde_json::{Value, json};

mod table;

use table::{METHODS, Reach};

/// What somebody may come with.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Credential {
    Nothing,
    Session,
    AppPassword,
    PrivilegedAppPassword,
    /// The session of an account that is taken down.
    Takendown,
    RefreshToken,
    /// A service token for the method and this host.
    ForThisMethod,
    /// The same for the inbox of an account of this host.
    ForAnInbox,
    ForAnotherMethod,
    /// A session's token whose signature is another's.
    Forged,
    Operator,
    WrongPassword,
}

const CREDENTIALS: [Credential; 12] = [
    Credential::Nothing,
    Credential::Session,
    Credential::AppPassword,
    Credential::PrivilegedAppPassword,
    Credential::Takendown,
    Credential::RefreshToken,
    Credential::ForThisMethod,
    Credential::ForAnInbox,
    Credential::ForAnotherMethod,
    Credential::Forged,
    Credential::Operator,
    Credential::WrongPassword,
];

/// The credentials that each of the kinds of access lets in.
fn lets_in(auth: Auth) -> &'static [Credential] {
    use Credential::*;
    match auth {
        Auth::Open => &CREDENTIALS,
        Auth::Optional => &[Nothing, Session, AppPassword, PrivilegedAppPassword, Operator],
        Auth::OptionalEvenTakendown => {
            &[Nothing, Session, AppPassword, PrivilegedAppPassword, Takendown, Operator]
        }
        Auth::Access => &[Session, AppPassword, PrivilegedAppPassword],
        Auth::AccessEvenTakendown => &[Session, AppPassword, PrivilegedAppPassword, Takendown],
        Auth::Private => &[Session, PrivilegedAppPassword],
        Auth::OptionalPrivate => &[Nothing, Session, PrivilegedAppPassword],
        Auth::Full => &[Session],
        Auth::FullEvenTakendown => &[Session, Takendown],
        Auth::AccessOrService => &[Session, AppPassword, PrivilegedAppPassword, ForThisMethod],
        Auth::OptionalService => &[Nothing, ForThisMethod],
        Auth::Refresh | Auth::RefreshEvenExpired => &[RefreshToken],
        Auth::Delivery => &[ForAnInbox],
        Auth::Admin | Auth::Moderator => &[Operator],
    }
}

/// Somebody with everything that one may have.
struct Visitor {
    client: Client,
    agent: Agent,
    headers: BTreeMap<Credential, String>,
}

impl Visitor {
    fn new(world: &World) -> Self {
        let client = world.client();
        let agent = Agent::new(world, "alice");
        let bearer = |token: &Value| format!("Bearer {}", token.as_str().unwrap());
        let log_in = |name: &str, password: &str, also: bool| {
            let body = json!({ "identifier": name, "password": password, "allowTakendown": also });
            client.post("com.atproto.server.createSession", &body).ok().json()
        };
        let app_password = |privileged: bool| {
            let body = json!({ "name": format!("app {privileged}"), "privileged": privileged });
            let made = agent.client.post("com.atproto.server.createAppPassword", &body).ok().json();
            bearer(&log_in("alice.test", made["password"].as_str().unwrap(), false)["accessJwt"])
        };
        let gone = world.account("gone");
        let takedown = json!({
            "subject": { "$type": "com.atproto.admin.defs#repoRef", "did": gone.did },
            "takedown": { "applied": true },
        });
        let _ = world.operate("com.atproto.admin.updateSubjectStatus", &takedown).ok();
        let session = log_in("alice.test", Account::PASSWORD, false);
        let whole = bearer(&session["accessJwt"]);
        let (claims, signature) = whole.rsplit_once('.').unwrap();
        let operator =
            |password: &str| format!("Basic {}", BASE64.encode(format!("admin:{password}").as_bytes()));
        let headers = [
            (Credential::AppPassword, app_password(false)),
            (Credential::PrivilegedAppPassword, app_password(true)),
            (Credential::Takendown, bearer(&log_in("gone.test", Account::PASSWORD, true)["accessJwt"])),
            (Credential::RefreshToken, bearer(&session["refreshJwt"])),
            (Credential::Forged, format!("{claims}.{}", signature.chars().rev().collect::<String>())),
            (Credential::Operator, operator(world.admin_password())),
            (Credential::WrongPassword, operator("wrong")),
            (Credential::Session, whole.clone()),
        ];
        Self { client, agent, headers: headers.into() }
    }

    /// A service token of the account; `None` for methods that none is made for.
    fn service(&self, audience: &str, nsid: &str) -> Option<String> {
        let query = [("aud", audience), ("lxm", nsid)];
        let answer = self.agent.client.get("com.atproto.server.getServiceAuth", &query);
        if answer.status == 400 {
            assert!(answer.text().contains("protected method"), "{}", answer.text());
            return None;
        }
        answer.ok().json()["token"].as_str().map(|token| format!("Bearer {token}"))
    }

    /// The header of a credential: outer `None` where there is none of the kind, inner where no header is sent.
    fn header(&self, credential: Credential, nsid: &str) -> Option<Option<String>> {
        let host = "did:web:localhost";
        match credential {
            Credential::Nothing => Some(None),
            Credential::ForThisMethod => self.service(host, nsid).map(Some),
            Credential::ForAnInbox => {
                self.service(&format!("{}#agent_inbox", self.agent.did), nsid).map(Some)
            }
            Credential::ForAnotherMethod => {
                // One that no table has, so that it is another method's everywhere.
                self.service(host, "com.example.another").map(Some)
            }
            held => Some(Some(self.headers[&held].clone())),
        }
    }

    /// Asks a method for nothing that it would do: the body of a procedure is of a type that none takes.
    fn knock(&self, nsid: &str, kind: Kind, query: &str, credential: Credential) -> Option<Answer> {
        let authorization = self.header(credential, nsid)?;
        let (verb, body) = match kind {
            Kind::Procedure => ("POST", b"nothing".to_vec()),
            Kind::Query | Kind::Subscription => ("GET", Vec::new()),
        };
        let mut headers = vec![("content-type", "text/nothing")];
        headers.extend(authorization.as_deref().map(|value| ("authorization", value)));
        Some(self.client.send(verb, &format!("/xrpc/{nsid}{query}"), &headers, body).unwrap())
    }
}

/// Whether an answer says that the credential is not the right one.
fn turns_away(answer: &Answer) -> bool {
    let error = answer.json()["error"].as_str().unwrap_or_default().to_owned();
    answer.status == 401
        || (answer.status == 400 && ["InvalidToken", "ExpiredToken"].contains(&error.as_str()))
}

/// The parameter by which a method finds its account.
fn query(method: &Method, did: &str) -> String {
    match method.place {
        Place::Agent { route: Route::Did(name) | Route::Repo(name), .. } => format!("?{name}={did}"),
        Place::BlobDownload => format!("?did={did}&cid={NO_BLOB}"),
        _ => String::new(),
    }
}

#[test]
fn every_method_lets_in_whom_it_is_for_and_nobody_else() {
    let table: Vec<_> = methods().map(|method| (method.nsid, method.auth)).collect();
    let decided: Vec<_> = METHODS.iter().map(|(nsid, auth, _)| (*nsid, *auth)).collect();
    assert_eq!(table, decided, "what the Worker has (left), and what was decided here (right)");

    // The build that is deployed, and a service behind it that has nothing to say.
    let service = StandIn::start(|_| Reply::json(404, &json!({ "error": "Nothing", "message": "nothing" })));
    let mut setup = Setup::new().plain();
    for name in ["APPVIEW", "REPORT_SERVICE"] {
        setup = setup.variable(&format!("{name}_URL"), &service.url());
        setup = setup.variable(&format!("{name}_DID"), "did:web:service.example");
    }
    let world = setup.start();
    let visitor = Visitor::new(&world);
    let mut wrong = Vec::new();
    let mut check = |nsid: &str, kind: Kind, auth: Auth, query: &str| {
        for credential in CREDENTIALS {
            let Some(answer) = visitor.knock(nsid, kind, query, credential) else { continue };
            if turns_away(&answer) == lets_in(auth).contains(&credential) || answer.status == 500 {
                let said = answer.text();
                wrong.push(format!("{nsid} ({auth:?}), {credential:?}: {} {said:.200}", answer.status));
            }
        }
    };
    for method in methods() {
        check(method.nsid, method.kind, method.auth, &query(method, &visitor.agent.did));
    }
    // What the table does not have goes on to a service, in the account's name.
    check("com.example.unknown", Kind::Query, Auth::Access, "");
    assert!(wrong.is_empty(), "{wrong:#?}");

    for path in paths().chain(["/xrpc/_health", "/.well-known/did-cf/0/did.json", "/nothing", "/test/rows"]) {
        let ask = |credential| {
            let header = visitor.header(credential, "com.example.page").unwrap();
            let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
            let answer = world.client().send("GET", path, &headers, Vec::new()).unwrap();
            (answer.status, answer.body)
        };
        let plain = ask(Credential::Nothing);
        let expected: &[u16] = match path {
            "/.well-known/atproto-did"
            | "/.well-known/did.json"
            | "/.well-known/did-cf/0/did.json"
            | "/nothing"
            | "/test/rows" => &[404],
            "/tls-check" => &[400],
            "/.well-known/change-password" => &[302],
            _ => &[200],
        };
        assert!(expected.contains(&plain.0), "{path}: {}", plain.0);
        for credential in [Credential::Session, Credential::Operator, Credential::Forged] {
            assert_eq!(ask(credential), plain, "{path}: {credential:?}");
        }
    }

    // By the name under which the Worker calls its objects nobody comes in.
    for path in ["/", "/append", "/import", "/xrpc/_health"] {
        let header = [("host", "internal")];
        assert_eq!(world.client().send("POST", path, &header, b"{}".to_vec()).unwrap().status, 421, "{path}");
    }
}

/// What a stranger gets.
#[derive(Debug)]
enum Gets {
    Refusal(&'static str),
    Answer(Value),
}

use Gets::{Answer as Says, Refusal};

/// Requests of a stranger that name what is another's, and what comes of them. What they name, `theirs` has.
fn strange(theirs: &Value) -> Vec<(&'static str, Value, Gets)> {
    let uri = &theirs["request"]["uri"];
    let write = |more: Value| {
        let mut body = json!({ "repo": theirs["did"], "collection": "com.example.note" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let record = json!({ "$type": "com.example.note", "text": "not mine" });
    let ack = json!({ "results": [{ "leaseId": theirs["lease"], "outcome": "done" }] });
    let created = json!({
        "$type": "com.atproto.repo.applyWrites#create", "collection": "com.example.note", "value": record,
    });
    vec![
        ("agent.comms.ackMessages", ack, Says(json!({ "acked": 0, "missing": [theirs["lease"]] }))),
        ("agent.comms.cancelTask", json!({ "request": uri }), Refusal("TaskNotFound")),
        ("agent.comms.claimMessages", json!({ "max": 50 }), Says(json!({ "items": [] }))),
        ("agent.comms.deliver", json!({ "parcel": theirs["parcel"] }), Refusal("InvalidProof")),
        ("agent.comms.getDeliveryStatus", json!({ "id": theirs["sent"]["id"] }), Refusal("MessageNotFound")),
        (
            "agent.comms.getHandedOver",
            json!({ "handoff": theirs["handoff"]["id"] }),
            Refusal("MessageNotFound"),
        ),
        (
            "agent.comms.getHandoff",
            json!({ "handoff": theirs["handoff"]["uri"] }),
            Refusal("MessageNotFound"),
        ),
        ("agent.comms.getTask", json!({ "request": uri }), Refusal("TaskNotFound")),
        ("agent.comms.getThread", json!({ "thread": theirs["thread"] }), Refusal("ThreadNotFound")),
        ("agent.comms.listInbox", json!({}), Says(json!({ "items": [] }))),
        ("agent.comms.listTasks", json!({}), Says(json!({ "tasks": [] }))),
        ("agent.comms.listThreads", json!({}), Says(json!({ "threads": [] }))),
        (
            "agent.comms.sendMessage",
            json!({
                "to": [theirs["other"]],
                "record": {
                    "$type": "agent.comms.message", "sender": theirs["did"],
                    "content": { "kind": "text", "text": "not mine" },
                },
            }),
            Refusal("InvalidRecord"),
        ),
        ("agent.memory.deleteMemory", json!({ "uri": theirs["memory"]["uri"] }), Refusal("MemoryNotFound")),
        ("agent.memory.deleteState", json!({ "key": "theirs" }), Refusal("StateNotFound")),
        (
            "agent.memory.getContext",
            json!({ "q": "between us" }),
            Says(json!({ "text": "", "tokens": 0, "sources": [] })),
        ),
        ("agent.memory.getMemory", json!({ "uri": theirs["memory"]["uri"] }), Refusal("MemoryNotFound")),
        (
            "agent.memory.getSharedMemory",
            json!({ "uri": theirs["memory"]["uri"], "key": "did:plc:x#agent-pq-1" }),
            Refusal("MemoryNotFound"),
        ),
        ("agent.memory.getState", json!({ "key": "theirs" }), Refusal("StateNotFound")),
        ("agent.memory.ingestMessages", json!({ "thread": theirs["thread"] }), Refusal("ThreadNotFound")),
        ("agent.memory.listMemories", json!({}), Says(json!({ "memories": [] }))),
        ("agent.memory.listShares", json!({}), Says(json!({ "shares": [] }))),
        ("agent.memory.listState", json!({}), Says(json!({ "entries": [] }))),
        (
            "agent.memory.publishMemory",
            json!({ "uri": theirs["memory"]["uri"], "confirm": true }),
            Refusal("MemoryNotFound"),
        ),
        (
            "agent.memory.revokeShare",
            json!({ "uri": theirs["memory"]["uri"], "subjects": [theirs["other"]] }),
            Refusal("MemoryNotFound"),
        ),
        (
            "agent.memory.searchMemories",
            json!({ "q": "between us" }),
            Says(json!({ "hits": [], "degraded": [] })),
        ),
        (
            "agent.memory.shareMemory",
            json!({ "uri": theirs["memory"]["uri"], "subjects": [theirs["other"]] }),
            Refusal("MemoryNotFound"),
        ),
        (
            "agent.memory.updateMemory",
            json!({ "uri": theirs["memory"]["uri"], "record": { "$type": "agent.memory.note", "summary": "x" } }),
            Refusal("MemoryNotFound"),
        ),
        ("agent.relay.deleteWebhook", json!({ "id": theirs["webhook"]["id"] }), Refusal("WebhookNotFound")),
        ("agent.relay.listWebhooks", json!({}), Says(json!({ "webhooks": [] }))),
        ("app.bsky.actor.getPreferences", json!({}), Says(json!({ "preferences": [] }))),
        (
            "com.atproto.repo.applyWrites",
            json!({ "repo": theirs["did"], "writes": [created] }),
            Refusal("AuthenticationRequired"),
        ),
        (
            "com.atproto.repo.createRecord",
            write(json!({ "record": record })),
            Refusal("AuthenticationRequired"),
        ),
        (
            "com.atproto.repo.deleteRecord",
            write(json!({ "rkey": "theirs" })),
            Refusal("AuthenticationRequired"),
        ),
        (
            "com.atproto.repo.putRecord",
            write(json!({ "rkey": "theirs", "record": record })),
            Refusal("AuthenticationRequired"),
        ),
        ("com.atproto.server.listAppPasswords", json!({}), Says(json!({ "passwords": [] }))),
        // One without a password of that name has nothing to take back, and the other keeps theirs.
        ("com.atproto.server.revokeAppPassword", json!({ "name": "theirs" }), Says(Value::Null)),
    ]
}

#[test]
fn a_session_reaches_nothing_of_another_account() {
    let world = Setup::new().plain().start();
    let [alice, carol, mallory] = ["alice", "carol", "mallory"].map(|name| Agent::new(&world, name));
    let of = |agent: &Agent, nsid: &str, body: &Value| agent.client.post(nsid, body).ok().json();
    let app = "com.atproto.server.createAppPassword";
    let _ = of(&alice, app, &json!({ "name": "theirs" }));
    let preferences =
        json!({ "preferences": [{ "$type": "app.bsky.actor.defs#adultContentPref", "enabled": false }] });
    let _ = alice.client.post("app.bsky.actor.putPreferences", &preferences).ok();
    let blob = alice.client.post_bytes("com.atproto.repo.uploadBlob", "text/plain", b"theirs").ok().json();
    let note = json!({ "$type": "com.example.note", "text": "mine", "blob": blob["blob"] });
    alice.put("com.example.note", "theirs", &note);
    let hook = json!({ "url": format!("http://127.0.0.1:{}/", world.port()) });
    let sent = alice.tell(&carol, "between us", "private");
    let task = json!({ "$type": "agent.comms.request", "task": "sing" });
    let request = alice.send(&[&carol], &task, "private");
    let handoff = json!({ "$type": "agent.comms.handoff", "summary": "between us" });
    let handoff = alice.send(&[&carol], &handoff, "private");
    let items = carol.claim(600);
    let note = json!({ "$type": "agent.memory.note", "summary": "between us" });
    let memory = of(&alice, "agent.memory.createMemory", &json!({ "record": note }));
    let _ = of(&alice, "agent.memory.putState", &json!({ "key": "theirs", "value": {} }));
    let theirs = json!({
        "did": alice.did,
        "other": carol.did,
        "sent": sent,
        "request": request,
        "handoff": handoff,
        "memory": memory,
        "lease": items[0]["leaseId"],
        "parcel": items[0]["parcel"],
        "thread": items[0]["parcel"]["header"]["thread"],
        "webhook": of(&alice, "agent.relay.createWebhook", &hook)["webhook"],
    });

    let reach = |wanted: Reach| {
        METHODS.iter().filter(move |(_, _, reach)| *reach == wanted).map(|(nsid, _, _)| *nsid)
    };
    let strange = strange(&theirs);
    assert_eq!(
        strange.iter().map(|(nsid, ..)| *nsid).collect::<BTreeSet<_>>(),
        reach(Reach::Named).collect(),
        "the requests of a stranger (left), and what may name what is another's (right)"
    );
    // What is asked in the name of another host, by service tokens of the stranger's own.
    let service = |nsid: &str, inbox: &Agent| {
        let audience = format!("{}#agent_inbox", inbox.did);
        let query = [("aud", audience.as_str()), ("lxm", nsid)];
        let token = mallory.client.get("com.atproto.server.getServiceAuth", &query).ok().json();
        mallory.client.with_token(token["token"].as_str().unwrap())
    };
    for (nsid, body, gets) in &strange {
        let client = match *nsid {
            "agent.comms.deliver" => service(nsid, &carol),
            "agent.comms.getHandedOver" | "agent.memory.getSharedMemory" => service(nsid, &alice),
            _ => mallory.client.clone(),
        };
        let answer = match find(nsid).unwrap().kind {
            Kind::Procedure => client.post(nsid, body),
            _ => {
                let fields = body.as_object().unwrap().iter();
                let query: Vec<_> =
                    fields.map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
                client.get(nsid, &query)
            }
        };
        match gets {
            Refusal(error) => assert_eq!(answer.json()["error"], *error, "{nsid}: {}", answer.text()),
            Says(expected) => assert_eq!(answer.ok().json(), *expected, "{nsid}"),
        }
    }
    // Nothing of it has left a trace.
    let record = [("repo", alice.did.as_str()), ("collection", "com.example.note"), ("rkey", "theirs")];
    assert_eq!(
        mallory.client.get("com.atproto.repo.getRecord", &record).ok().json()["value"]["text"],
        "mine"
    );
    let kept = alice.client.get("com.atproto.server.listAppPasswords", &[]).ok().json();
    assert_eq!(kept["passwords"][0]["name"], "theirs");
    assert_eq!(
        alice.client.get("agent.relay.listWebhooks", &[]).ok().json()["webhooks"].as_array().unwrap().len(),
        1
    );
    carol.done(&items);

    // What is hidden from others is shown to its owner and the operator.
    let head = world.client().get("com.atproto.sync.getLatestCommit", &[("did", &alice.did)]).ok().json();
    let _ = alice.client.post("com.atproto.server.deactivateAccount", &json!({})).ok();
    let blob = blob["blob"]["ref"]["$link"].as_str().unwrap().to_owned();
    let commit = head["cid"].as_str().unwrap();
    let password = format!("admin:{}", world.admin_password());
    let operator = format!("Basic {}", BASE64.encode(password.as_bytes()));
    for nsid in reach(Reach::Hidden) {
        let path = format!(
            "/xrpc/{nsid}?did={}&cid={blob}&cids={commit}&collection=com.example.note&rkey=theirs",
            alice.did
        );
        let status = |header: Option<String>| {
            let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
            world.client().send("GET", &path, &headers, Vec::new()).unwrap().status
        };
        let bearer = |agent: &Agent| Some(format!("Bearer {}", agent.access));
        let seen = [None, bearer(&mallory), bearer(&alice), Some(operator.clone())].map(status);
        assert_eq!(seen, [400, 400, 200, 200], "{nsid}: nobody, another account, its owner, the operator");
    }
}

/// The hash of nothing that is there.
const NO_BLOB: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
