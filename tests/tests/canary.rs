//! Canaries: what nobody but its readers may see, searched for wherever it might have come to lie.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use data_encoding::{BASE64, HEXLOWER};
use murmuration_embedding::Model;
use murmuration_tests::{Account, Agent, Reply, Search, Setup, StandIn, World, message, pause, texts};
use serde_json::{Value, json};

/// What only readers may see, each in a field of its own.
const TEXT: &str = "canary-of-the-text-4711";
const DATA: &str = "canary-of-the-data-4711";
const TASK: &str = "canary-of-the-task-4711";
const PARAMS: &str = "canary-of-the-params-4711";
const RESULT: &str = "canary-of-the-result-4711";
const FAULT: &str = "canary-of-the-fault-4711";
const EXPLANATION: &str = "canary-of-the-explanation-4711";
const PART: &str = "canary-of-the-part-4711";
const LINK: &str = "https://canary-of-the-link-4711.example.com/";
const PROGRESS: &str = "canary-of-the-progress-4711";
const REASON: &str = "canary-of-the-reason-4711";
const WAITING: &str = "canary-of-the-text-that-waits-4711";
const SUMMARY: &str = "canary-of-the-summary-4711";
const STATE: &str = "canary-of-the-state-4711";
/// What only the agent that remembers it may see, and who it is shared with.
const MEMORY: &str = "canary-of-the-memory-4711 says that the vault opens at nine";
const LATER_MEMORY: &str = "canary-of-a-later-memory-4711 says that the vault opens at ten";
const LARGE: &str = "canary-of-a-large-memory-4711 and what it says. ";
/// How often a memory says it that no row has room for.
const OFTEN: usize = 7_000;
const TAG: &str = "canary-of-the-tag-4711";
const WORKING: &str = "canary-of-the-working-state-4711";
const QUESTION: &str = "canary-of-the-question-4711";
/// What only the account's owner knows.
const PASSWORD: &str = "canary-of-the-password-4711";
const LATER_PASSWORD: &str = "canary-of-a-later-password-4711";
/// What both hosts know, and nobody else.
const THREAD: &str = "canary-of-the-thread-4711";
const EMAIL: &str = "canary-of-the-email-4711@example.com";
/// What everybody may see.
const PUBLIC: &str = "hear-hear-all-of-you-4711";
const BLOB: &str = "look-look-all-of-you-4711";
/// What a test route writes into the log.
const LOGGED: &str = "a test panics in a fetch";

const PATIENCE: Duration = Duration::from_secs(40);

/// Both hosts, and somebody who is told of all their events.
struct Hosts {
    worlds: [World; 2],
    receivers: [StandIn; 2],
}

impl Hosts {
    /// What a host has told to the outside, stream by stream.
    fn streams(&self, place: usize) -> Vec<(&'static str, Vec<u8>)> {
        let world = &self.worlds[place];
        let mut messages = Vec::new();
        let patience = Instant::now() + PATIENCE;
        // Webhooks are told behind the log, and the log behind the answers.
        while !Search::new().word("public", PUBLIC).found_in(&messages).contains("public: plain") {
            assert!(Instant::now() < patience, "nothing is sent to the webhook");
            pause(50);
            messages.extend(self.receivers[place].take().into_iter().flat_map(|noted| noted.body));
        }
        let last = world.client().get("agent.relay.describeRelay", &[]).ok().json()["seq"].as_i64().unwrap();
        let frames = world.subscribe(Some(0)).until(last.into());
        let mut reader = world.subscribe_events("cursor=0&includeRecords=true");
        let mut events = Vec::new();
        loop {
            let event = reader.json().unwrap();
            events.extend(event.to_string().into_bytes());
            if event["payload"]["seq"].as_i64() == Some(last) {
                break;
            }
        }
        let query = [("cursor", "0"), ("includeRecords", "true"), ("limit", "500")];
        let list = world.client().get("agent.relay.listEvents", &query).ok().body;
        vec![
            ("subscribeRepos", frames.into_iter().flat_map(|frame| frame.bytes).collect()),
            ("subscribeEvents", events),
            ("listEvents", list),
            ("webhooks", messages),
        ]
    }
}

/// An agent with a password and an address of its own.
fn agent(world: &World, name: &str) -> (Agent, Value) {
    let body =
        json!({ "handle": format!("{name}.test"), "email": format!("{name}-{EMAIL}"), "password": PASSWORD });
    let made = world.operate("agent.identity.createAgent", &body).ok().json();
    let Account { did, access, .. } = Account::of(&made);
    let agent = Agent { did, client: world.client().with_token(&access), access };
    agent.welcome_all();
    (agent, made)
}

/// Claims what there is until one is of the type, and says of all that they are done.
fn read(agent: &Agent, kind: &str) -> Value {
    let items = agent.claim(60);
    agent.done(&items);
    let found = items.iter().find(|item| item["parcel"]["header"]["type"] == kind);
    found.unwrap_or_else(|| panic!("no {kind} in {items:?}"))["record"].clone()
}

fn names(found: BTreeSet<String>) -> BTreeSet<String> {
    found.into_iter().map(|found| found.split(':').next().unwrap().to_owned()).collect()
}

/// The code in the last letter.
fn code(world: &World) -> String {
    let mut files: Vec<_> =
        std::fs::read_dir(world.folder().join("outbox")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    let letter: Value = serde_json::from_slice(&std::fs::read(files.last().unwrap()).unwrap()).unwrap();
    let words = letter["text"].as_str().unwrap().split_whitespace();
    words.into_iter().find(|word| word.len() == 11 && word.as_bytes()[5] == b'-').unwrap().to_owned()
}

/// Has an agent remember something, share it, change it, and take one of two shares back; answers with what the reader has read.
fn share_a_memory(author: &Agent, reader: &Agent) -> String {
    let post =
        |nsid: &str, body: Value| author.client.post(&format!("agent.memory.{nsid}"), &body).ok().json();
    let record = |text: &str| json!({ "$type": "agent.memory.note", "summary": text, "tags": [TAG] });
    let mut seen = String::new();
    for ends in [true, false] {
        let body = json!({ "record": record(MEMORY), "idempotencyKey": format!("{WORKING}-{ends}") });
        let uri = post("createMemory", body)["uri"].clone();
        let subjects = json!({ "uri": uri, "subjects": [reader.did] });
        post("shareMemory", subjects.clone());
        let items = reader.claim(60);
        assert_eq!(items[0]["record"]["content"]["uri"], uri);
        reader.done(&items);
        let read = || reader.client.get("agent.memory.getMemory", &[("uri", uri.as_str().unwrap())]);
        seen += &read().ok().text();
        post("updateMemory", json!({ "uri": uri, "record": record(LATER_MEMORY) }));
        seen += &read().ok().text();
        if ends {
            post("revokeShare", subjects);
            assert_eq!(read().json()["error"], "MemoryNotFound");
        }
    }
    let record = json!({ "$type": "agent.memory.note", "summary": LARGE, "text": LARGE.repeat(OFTEN) });
    let uri = post("createMemory", json!({ "record": record }))["uri"].clone();
    post("shareMemory", json!({ "uri": uri, "subjects": [reader.did] }));
    reader.done(&reader.claim(60));
    let read = reader.client.get("agent.memory.getMemory", &[("uri", uri.as_str().unwrap())]).ok().text();
    assert_eq!(read.matches(LARGE.trim_end()).count(), OFTEN + 1);
    seen += &read;
    post("putState", json!({ "key": WORKING, "value": { "at": WORKING } }));
    for query in [QUESTION, MEMORY] {
        let _ = author.client.get("agent.memory.searchMemories", &[("q", query), ("tags", TAG)]).ok();
        let _ = author.client.get("agent.memory.getContext", &[("q", query)]).ok();
    }
    let state = author.client.get("agent.memory.getState", &[("key", WORKING)]).ok().json();
    assert_eq!(state["value"]["at"], WORKING);
    seen
}

/// The vector of a text, as the host has it.
fn vector(text: &str) -> Vec<u8> {
    let file = std::fs::read(xtask::root().join(xtask::worker::MODEL)).unwrap();
    Model::read(file).unwrap().embed(text).unwrap().to_bytes()
}

#[test]
fn what_is_private_lies_nowhere_and_is_told_to_nobody() {
    let here = World::start();
    let there = Setup::new().plc_of(&here).start();
    let receiver = || StandIn::start(|_| Reply::Answer(204, Vec::new(), Vec::new()));
    let mut hosts = Hosts { worlds: [here, there], receivers: [receiver(), receiver()] };
    let [here, there] = &hosts.worlds;
    let ((alice, made), (bob, also_made)) = (agent(here, "alice"), agent(there, "bob"));
    let mut secrets = Search::new()
        .word("a password", PASSWORD)
        .word("a later password", LATER_PASSWORD)
        .word("a text", TEXT)
        .word("data", DATA)
        .word("a task", TASK)
        .word("parameters", PARAMS)
        .word("a result", RESULT)
        .word("a fault", FAULT)
        .word("an explanation", EXPLANATION)
        .word("a part", PART)
        .word("a link", &LINK[8..])
        .word("progress", PROGRESS)
        .word("a reason", REASON)
        .word("a text that waits", WAITING)
        .word("a summary", SUMMARY)
        .word("a state", STATE)
        .word("a memory", &MEMORY[..25])
        .word("a later memory", &LATER_MEMORY[..29])
        .word("a large memory", &LARGE[..29])
        .word("a tag", TAG)
        .word("working state", WORKING)
        .word("a question", QUESTION);
    for (name, text) in [("a vector", MEMORY), ("a later vector", LATER_MEMORY)] {
        secrets = secrets.bytes(name, &vector(&format!("{text}\n{TAG}")));
    }

    // What is told between the two.
    let mut opened = BTreeSet::new();
    let mut exchange = |from: &Agent, to: &Agent, record: Value| -> Value {
        let sent = from.send(&[to], &record, "private");
        assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");
        let read = read(to, record["$type"].as_str().unwrap());
        opened.extend(names(secrets.found_in(read.to_string().as_bytes())));
        sent
    };
    let mut text = message(TEXT);
    text["thread"] = THREAD.into();
    exchange(&alice, &bob, text);
    let data = json!({
        "$type": "agent.comms.message", "content": { "kind": "json", "data": { "key": DATA } },
        "parts": [{ "kind": "text", "text": PART }, { "kind": "ref", "uri": LINK }],
    });
    exchange(&alice, &bob, data);
    let task = json!({ "$type": "agent.comms.request", "task": TASK, "params": { "key": PARAMS } });
    let task = exchange(&alice, &bob, task);
    let answer = json!({
        "$type": "agent.comms.response", "requestUri": task["uri"], "status": "failed",
        "result": { "key": RESULT }, "error": FAULT, "content": [{ "kind": "text", "text": PROGRESS }],
        "errorInfo": { "code": "no-luck", "message": EXPLANATION },
    });
    exchange(&bob, &alice, answer);
    let handoff = json!({
        "$type": "agent.comms.handoff", "summary": SUMMARY, "reason": REASON, "state": { "key": STATE },
    });
    exchange(&bob, &alice, handoff);
    let told = [
        "a text",
        "data",
        "a part",
        "a link",
        "a task",
        "parameters",
        "a result",
        "a fault",
        "an explanation",
        "progress",
        "a summary",
        "a reason",
        "a state",
    ];
    assert_eq!(opened, told.map(str::to_owned).into(), "what the readers have opened");

    // What both remember, and share with each other.
    for (author, reader) in [(&alice, &bob), (&bob, &alice)] {
        let seen = share_a_memory(author, reader);
        let told = ["a memory", "a later memory", "a large memory", "a tag"].map(str::to_owned);
        assert_eq!(names(secrets.found_in(seen.as_bytes())), told.into(), "what the reader has opened");
    }

    // What opens the accounts and the hosts.
    let mut code_search = Search::new();
    for (place, (agent, made)) in [(&alice, &made), (&bob, &also_made)].into_iter().enumerate() {
        let world = &hosts.worlds[place];
        let post = |nsid: &str, body: Value| agent.client.post(nsid, &body).ok().json();
        let app = post("com.atproto.server.createAppPassword", json!({ "name": "app" }));
        let app = app["password"].as_str().unwrap();
        let body = json!({ "identifier": agent.did, "password": app });
        let session = post("com.atproto.server.createSession", body);
        let query = [("aud", "did:web:example.com"), ("lxm", "com.example.method")];
        let token =
            agent.client.get("com.atproto.server.getServiceAuth", &query).ok().json()["token"].clone();
        let hook = json!({ "url": hosts.receivers[place].url(), "includeRecords": true });
        let hook = post("agent.relay.createWebhook", hook);
        let hook = hook["secret"].as_str().unwrap().strip_prefix("whsec_").unwrap();
        let address = format!("{}-{EMAIL}", ["alice", "bob"][place]);
        let _ =
            world.client().post("com.atproto.server.requestPasswordReset", &json!({ "email": address })).ok();
        let code = code(world);
        let reset = json!({ "token": code, "password": LATER_PASSWORD });
        let _ = world.client().post("com.atproto.server.resetPassword", &reset).ok();
        let kept = world.secrets();
        let hex = |text: &str| HEXLOWER.decode(text.as_bytes()).unwrap();
        code_search = code_search.word("a code", &code);
        secrets = secrets
            .word("an app password", app)
            .bytes("a webhook's secret", &BASE64.decode(hook.as_bytes()).unwrap())
            .word("the operator's password", &kept.admin_password)
            .word("the secret of sessions", &kept.jwt_secret)
            .bytes("the key of keys", &hex(&kept.kek))
            .bytes("the rotation key", &hex(&kept.plc_rotation_key));
        let tokens =
            [&made["accessJwt"], &made["refreshJwt"], &session["accessJwt"], &session["refreshJwt"], &token];
        for token in tokens {
            secrets = secrets.word("a token", token.as_str().unwrap().rsplit('.').next().unwrap());
        }
    }

    // What everybody may see; without it the searches below would show nothing.
    for (agent, other) in [(&alice, &bob), (&bob, &alice)] {
        let sent = agent.tell(other, PUBLIC, "public");
        assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");
        let items = other.claim(60);
        assert_eq!(texts(&items), [PUBLIC]);
        other.done(&items);
        let blob = agent.client.post_bytes("com.atproto.repo.uploadBlob", "text/plain", BLOB.as_bytes());
        let note = json!({ "$type": "com.example.file", "blob": blob.ok().json()["blob"] });
        agent.put("com.example.file", "it", &note);
    }
    for (world, agent) in hosts.worlds.iter().zip([&alice, &bob]) {
        let path = format!("/test/panic?object=agent&name={}", agent.did);
        assert_eq!(world.client().path(&path).status, 500);
    }

    let public = Search::new().word("a public text", PUBLIC).word("a blob", BLOB).word("a line", LOGGED);
    let known = Search::new().word("a thread", THREAD).word("an address", EMAIL);
    let operators =
        ["the key of keys", "the operator's password", "the rotation key", "the secret of sessions"];
    for place in 0..2 {
        for (stream, bytes) in hosts.streams(place) {
            assert_eq!(names(public.found_in(&bytes)), [String::from("a public text")].into(), "{stream}");
            for search in [&secrets, &known, &code_search] {
                assert_eq!(search.found_in(&bytes), BTreeSet::new(), "{stream}");
            }
        }
    }
    // What waits for a host that is away: its ticket is in the queue by now.
    hosts.worlds[1].kill_9();
    let sent = alice.tell(&bob, WAITING, "private");
    assert_ne!(sent["receipts"][0]["state"], "delivered", "{sent}");
    let ticket = Search::new().word("a ticket", &alice.did);
    let queued = || {
        let found = ticket.found_below(&hosts.worlds[0].folder().join("storage"));
        found.keys().any(|file| file.starts_with("queues/"))
    };
    let patience = Instant::now() + PATIENCE;
    while !queued() {
        assert!(Instant::now() < patience, "the queue has no ticket");
        pause(20);
    }
    // While the objects live their newest pages are in the logs of SQLite, and after their end in its files.
    for round in 0..3 {
        for world in &hosts.worlds {
            let log = world.log();
            assert_eq!(names(public.found_in(log.as_bytes())), [String::from("a line")].into());
            for search in [&secrets, &known, &code_search] {
                assert_eq!(search.found_in(log.as_bytes()), BTreeSet::new(), "the log");
            }
            let folder = world.folder();
            for (file, found) in secrets.found_below(&folder) {
                assert_eq!(file, "secrets.json", "{found:?}");
                assert_eq!(names(found), operators.map(str::to_owned).into());
            }
            for (file, found) in code_search.found_below(&folder) {
                assert!(file.starts_with("outbox/"), "{file}: {found:?}");
            }
            let places = |search: &Search, name: &str| -> BTreeSet<String> {
                let all = search.found_below(&folder).into_iter();
                let has = all.filter(|(_, found)| names(found.clone()).contains(name));
                has.map(|(file, _)| file.split('/').next().unwrap().to_owned()).collect()
            };
            assert_eq!(places(&secrets, "the key of keys"), ["secrets.json".to_owned()].into());
            assert_eq!(places(&code_search, "a code"), ["outbox".to_owned()].into());
            assert_eq!(places(&public, "a public text"), ["storage".to_owned()].into());
            assert_eq!(places(&public, "a blob"), ["blobs".to_owned()].into());
            let blobs = std::fs::read_dir(folder.join("blobs")).unwrap();
            let large = blobs.filter(|file| file.as_ref().unwrap().metadata().unwrap().len() > 300_000);
            assert_eq!(large.count(), 1, "the large memory lies there");
            assert_eq!(places(&known, "a thread"), ["storage".to_owned()].into());
            assert_eq!(places(&known, "an address"), ["outbox", "storage"].map(str::to_owned).into());
        }
        match round {
            0 => hosts.worlds.iter_mut().for_each(World::kill_9),
            _ => hosts.worlds.iter_mut().for_each(World::restart),
        }
    }
    // What follows has it tried at once, however long its own wait has become.
    alice.tell(&bob, "follows", "private");
    let patience = Instant::now() + PATIENCE;
    while alice.status(&sent)["state"] != "delivered" {
        assert!(Instant::now() < patience, "{}", alice.status(&sent));
        pause(100);
    }
    assert_eq!(texts(&bob.claim(60)), [WAITING, "follows"]);
    // And it was there to be found: both sides read it still.
    for agent in [&alice, &bob] {
        assert_eq!(texts(&agent.thread(THREAD)), [TEXT]);
    }
}
