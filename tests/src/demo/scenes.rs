//! The scenes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::stand_in::pause;

use super::Stage;
use super::story::Story;

/// What is said in private, and searched for afterwards.
const GREETING: &str = "meet me at the mast, when the others are asleep";
const TASK: &str = "count the berries on the rowan by the mill";
const RESULT: &str = "four hundred and seven, and a spider";
const BEFORE: &str = "the password of the hedge is hawthorn";
const AFTER: &str = "the password of the hedge is sloe";
const MISSED: &str = "are you there? the cat is in the yard";
const SUMMARY: &str = "the rowan is counted, the hawthorn is not";

/// How long anything may take that another host or an alarm brings.
const PATIENCE: Duration = Duration::from_secs(45);

/// A sealed message from one host to the other.
pub(super) fn sealed_message(stage: &mut Stage, story: &mut Story) {
    story.scene("A sealed message crosses from one host to the other");
    stage.keep("the greeting", GREETING);
    let sent = stage.robin.tell(&stage.jay, GREETING, "private");
    story.tell(&format!("Robin sends a message: {}", sent["receipts"][0]["state"]));
    let item = next(&stage.jay, "agent.comms.message");
    text(&item["parcel"]["header"]["thread"]).clone_into(&mut stage.thread);
    story.quote("Jay", said(&item));
    story.check("Jay reads what Robin has sealed", said(&item) == GREETING);
    let body = &item["parcel"]["body"];
    let carried = body["ciphertext"]["$bytes"].as_str().map_or(0, str::len);
    story
        .tell(&format!("What crossed: {carried} characters of ciphertext, and a header that names the two."));
    story.check(
        "what crosses carries a proof by Robin's signature",
        item["parcel"]["proof"]["sig"].is_object(),
    );
    let refused = stage.wren.client.get("agent.comms.getDeliveryStatus", &[("id", text(&sent["id"]))]);
    story.check("Wren, on the same host as Robin, is told nothing of it", refused.status == 400);
}

/// A task with progress and a result.
pub(super) fn task(stage: &mut Stage, story: &mut Story) {
    story.scene("A task, its progress, and its result");
    stage.keep("the task", TASK);
    stage.keep("the result", RESULT);
    let record = json!({ "$type": "agent.comms.request", "task": TASK, "params": { "where": "the mill" } });
    let asked = stage.robin.send(&[&stage.jay], &record, "private");
    let uri = text(&asked["uri"]).to_owned();
    let item = next(&stage.jay, "agent.comms.request");
    story.quote("Jay", text(&item["record"]["task"]));
    let mut states = vec![state(&stage.robin, &uri)];
    for (status, more) in [
        ("working", json!({ "content": [{ "kind": "text", "text": "half of the tree is done" }] })),
        ("completed", json!({ "result": { "berries": RESULT } })),
    ] {
        let mut answer = json!({ "$type": "agent.comms.response", "requestUri": uri, "status": status });
        answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let _ = stage.jay.send(&[&stage.robin], &answer, "private");
        let item = next(&stage.robin, "agent.comms.response");
        if status == "working" {
            story.quote("Robin", text(&item["record"]["content"][0]["text"]));
        } else {
            story.quote("Robin", text(&item["record"]["result"]["berries"]));
            story.check("Robin has the result of the task", item["record"]["result"]["berries"] == RESULT);
        }
        states.push(state(&stage.robin, &uri));
    }
    story.tell(&format!("The task was {}.", states.join(", then ")));
    story.check(
        "the task went from submitted over working to completed",
        states == ["submitted", "working", "completed"],
    );
    let late = json!({ "$type": "agent.comms.response", "requestUri": uri, "status": "failed" });
    let body = json!({ "record": late, "to": [stage.robin.did], "privacy": "private" });
    let refused = stage.jay.client.post("agent.comms.sendMessage", &body);
    story.check("what has ended stays so", refused.json()["error"] == "TaskStateConflict");
}

/// New keys, and old mail.
pub(super) fn rotation(stage: &mut Stage, story: &mut Story) {
    story.scene("Wren rotates its keys");
    stage.keep("what was sealed before", BEFORE);
    stage.keep("what was sealed after", AFTER);
    let (robin, wren) = (&stage.robin, &stage.wren);
    let epoch = || {
        let keys = stage.near.client().get("agent.identity.getKeys", &[("agent", &wren.did)]).ok().json();
        keys["epochs"].as_array().and_then(|epochs| epochs.last()?["epoch"].as_u64()).unwrap_or_default()
    };
    let key = |item: &Value| text(&item["parcel"]["body"]["recipients"][0]["kid"]).to_owned();
    let _ = robin.tell(wren, BEFORE, "private");
    let old = next(wren, "agent.comms.message");
    let before = epoch();
    let _ = wren.client.post("agent.identity.rotateKeys", &json!({})).ok();
    let after = epoch();
    story.tell(&format!("Its epoch was {before}, and is {after}."));
    story.check("a rotation begins the next epoch", after == before + 1);
    let _ = robin.tell(wren, AFTER, "private");
    let new = next(wren, "agent.comms.message");
    story.quote("Wren", said(&new));
    let right = key(&old).ends_with(&format!("-{before}")) && key(&new).ends_with(&format!("-{after}"));
    story.check("what comes then is sealed to the new key", right && said(&new) == AFTER);
    let thread = wren.thread(text(&new["parcel"]["header"]["thread"]));
    let readable = thread.iter().any(|item| said(item) == BEFORE);
    story.check("what was sealed to the old key stays readable", readable);
}

/// A host dies, and comes back.
pub(super) fn death(stage: &mut Stage, story: &mut Story) {
    story.scene("The far host dies, and a message waits for it");
    stage.keep("the message to a dead host", MISSED);
    stage.far.kill_9();
    let sent = stage.robin.tell(&stage.jay, MISSED, "private");
    story.tell(&format!("Killed, as by a power cut. Robin's message is {}.", sent["receipts"][0]["state"]));
    story.check("a message to a dead host is kept", sent["receipts"][0]["state"] == "queued");
    stage.far.restart();
    story.tell("The far host is started again.");
    let since = Instant::now();
    while stage.robin.status(&sent)["state"] != "delivered" && since.elapsed() < PATIENCE {
        pause(100);
    }
    story.tell(&format!("Delivered {:.1} s later.", since.elapsed().as_secs_f64()));
    let item = next(&stage.jay, "agent.comms.message");
    story.quote("Jay", said(&item));
    let thread = stage.jay.thread(text(&item["parcel"]["header"]["thread"]));
    let places: Vec<u64> = thread
        .iter()
        .filter(|item| item["parcel"]["header"]["from"] == stage.robin.did.as_str())
        .filter_map(|item| item["parcel"]["header"]["seq"].as_u64())
        .collect();
    story.check(
        "it comes once, behind what came before",
        said(&item) == MISSED && places.is_sorted_by(|a, b| a < b),
    );
    story.check("nothing that was done is handed out again", stage.jay.claim(5).is_empty());
}

/// One hands its work over to another, and with it what was said: by keys, not by copies.
pub(super) fn handoff(stage: &mut Stage, story: &mut Story) {
    story.scene("Jay hands its work over to Wren");
    stage.keep("the summary", SUMMARY);
    let (jay, wren) = (&stage.jay, &stage.wren);
    let record = json!({
        "$type": "agent.comms.handoff", "summary": SUMMARY, "state": { "next": "hawthorn" }, "reason": "moulting",
    });
    let body = json!({ "record": record, "to": [wren.did], "privacy": "private", "handOver": stage.thread });
    let sent = jay.call("sendMessage", &body);
    story.check("the handoff is delivered", sent["receipts"][0]["state"] == "delivered");
    let item = next(wren, "agent.comms.handoff");
    story.quote("Wren", text(&item["record"]["summary"]));
    story.check("Wren has the summary and the state", item["record"]["state"]["next"] == "hawthorn");
    let keys = item["record"]["messages"].as_array().map_or(0, Vec::len);
    story.tell(&format!("In it are the keys of {keys} messages, and none of the messages."));
    let copied = wren.client.get("agent.comms.getThread", &[("thread", &stage.thread)]);
    story.check("nothing of the thread is copied to Wren's host", copied.json()["error"] == "ThreadNotFound");
    let handed = wren.look("getHandoff", &[("handoff", text(&sent["uri"]))])["messages"].clone();
    let handed = handed.as_array().cloned().unwrap_or_default();
    let thread = jay.thread(&stage.thread);
    let parcels = |items: &[Value]| items.iter().map(|item| item["parcel"].clone()).collect::<Vec<_>>();
    let same = !handed.is_empty() && parcels(&handed) == parcels(&thread);
    story.check("Wren gets every parcel of the thread as it was sent, from Jay's host", same);
    let proven = handed.iter().all(|item| item["proven"] == true);
    story.check("and each carries the proof of who has written it", !handed.is_empty() && proven);
    let reads = |text: &str| handed.iter().any(|item| said(item) == text);
    for text in [GREETING, MISSED].into_iter().filter(|text| reads(text)) {
        story.quote("Wren", text);
    }
    story.check("Wren opens with these keys what was sealed to Jay alone", reads(GREETING) && reads(MISSED));
    let refused = stage.robin.client.get("agent.comms.getHandoff", &[("handoff", text(&sent["uri"]))]);
    story.check("nobody else is given it", refused.json()["error"] == "MessageNotFound");
}

/// One speaks to all who listen.
pub(super) fn broadcast(stage: &mut Stage, story: &mut Story) {
    story.scene("Robin speaks to everybody");
    let mut reader = stage.near.subscribe_events("wantedTopics=weather&includeRecords=true");
    let call = "the frost comes tonight";
    let record = |topic: &str, text: &str| {
        json!({
            "$type": "agent.comms.broadcast", "sender": stage.robin.did, "topic": topic, "severity": "warning",
            "content": { "kind": "text", "text": text }, "createdAt": "2026-11-28T06:00:00.000Z",
        })
    };
    let other = record("gossip", "the wren is small");
    let other = json!({ "repo": stage.robin.did, "collection": "agent.comms.broadcast", "record": other });
    let _ = stage.robin.client.post("com.atproto.repo.createRecord", &other).ok();
    let sent = stage.robin.send(&[&stage.wren, &stage.jay], &record("weather", call), "public");
    let all = sent["receipts"].as_array().unwrap().iter().all(|receipt| receipt["state"] == "delivered");
    story.check("a broadcast reaches agents of both hosts", all);
    for (name, agent) in [("Wren", &stage.wren), ("Jay", &stage.jay)] {
        story.quote(name, said(&next(agent, "agent.comms.broadcast")));
    }
    let event = reader.json().unwrap_or_default();
    let heard = event["payload"]["ops"][0]["record"]["content"]["text"] == call;
    story.check("and whoever listens for its topic, and only for that", heard);
}

/// What nobody but the readers has seen.
pub(super) fn secrecy(stage: &Stage, story: &mut Story) {
    story.scene("What the hosts know of it");
    for (name, world) in [("near", &stage.near), ("far", &stage.far)] {
        let found = stage.secrets.found_below(&world.folder());
        found.iter().for_each(|(file, what)| story.tell(&format!("{file}: {what:?}")));
        let log = stage.secrets.found_in(world.log().as_bytes());
        story.check(
            &format!("nothing private lies open in a file or in the log of the {name} host"),
            found.is_empty() && log.is_empty(),
        );
    }
}

impl Stage {
    /// Remembers what is to be found nowhere.
    pub(super) fn keep(&mut self, name: &str, secret: &str) {
        let secrets = std::mem::take(&mut self.secrets);
        self.secrets = secrets.word(name, secret);
    }
}

/// The next message of a type, which is then done.
pub(super) fn next(agent: &Agent, kind: &str) -> Value {
    let since = Instant::now();
    loop {
        let body = json!({ "max": 1, "leaseSeconds": 30, "types": [kind] });
        let items = agent.call("claimMessages", &body)["items"].as_array().unwrap().clone();
        if let Some(item) = items.first() {
            agent.done(&items);
            return item.clone();
        }
        assert!(since.elapsed() < PATIENCE, "no {kind} comes");
        pause(50);
    }
}

/// How a task stands, as its requester sees it.
fn state(agent: &Agent, uri: &str) -> String {
    text(&agent.look("getTask", &[("request", uri)])["state"]).to_owned()
}

fn said(item: &Value) -> &str {
    text(&item["record"]["content"]["text"])
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
