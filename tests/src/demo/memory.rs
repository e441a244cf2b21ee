//! The scene of memory: what is remembered, found by its meaning, shared, and published.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::Agent;
use crate::pause;

use super::Stage;
use super::scenes::{next, text};
use super::story::Story;

/// What is remembered, and searched for afterwards.
const DOCTOR: &str = "Anna works as a doctor in the hospital of Bern";
const OTHERS: [&str; 3] = [
    "the cat wants warm milk in the morning",
    "invoices are paid within thirty days",
    "the northern road is closed while it snows",
];
const LATER: &str = "Anna has left Bern and works as a surgeon in Basel";
/// Within which the far host has read what the near one says.
const PATIENCE: Duration = Duration::from_secs(40);
/// What everybody may know.
const PUBLIC: &str = "rowan berries are bitter before the first frost";

/// One remembers, finds what it remembers, shares it with an agent of the other host, takes that back, and publishes something else.
pub(super) fn scene(stage: &mut Stage, story: &mut Story) {
    story.scene("Robin remembers");
    for (name, memory) in [("a memory", DOCTOR), ("its next version", LATER), ("another memory", OTHERS[1])] {
        stage.keep(name, memory);
    }
    let (robin, wren, jay) = (&stage.robin, &stage.wren, &stage.jay);
    let doctor = remember(robin, DOCTOR);
    for other in OTHERS {
        let _ = remember(robin, other);
    }
    let question = "a medical job";
    let answer = robin.client.get("agent.memory.searchMemories", &[("q", question)]).ok().json();
    let best = &answer["hits"][0];
    story.tell(&format!("Robin asks its memory for \"{question}\", which none of its memories says."));
    story.quote("Robin", text(&best["memory"]["record"]["summary"]));
    let by_meaning =
        best["channels"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "vector"));
    story.check(
        "Robin recalls by meaning what it remembers in other words",
        best["memory"]["record"]["summary"] == DOCTOR && by_meaning,
    );
    story.check(
        "nobody else recalls it or reads it",
        read(jay, &doctor).is_none() && read(wren, &doctor).is_none(),
    );

    let body = json!({ "uri": doctor, "subjects": [jay.did] });
    let _ = robin.client.post("agent.memory.shareMemory", &body).ok();
    let notice = next(jay, "agent.comms.message");
    let told = text(&notice["record"]["content"]["uri"]).to_owned();
    story.tell(&format!("Robin shares it with Jay, on the far host, who is told of {told}"));
    story.check(
        "the notice names the memory and says nothing of it",
        told == doctor && !says(&notice, "Anna"),
    );
    let seen = read(jay, &told).unwrap_or_default();
    story.quote("Jay", &seen);
    story.check(
        "Jay reads the memory that Robin has shared, and Wren does not",
        seen == DOCTOR && read(wren, &doctor).is_none(),
    );
    update(robin, &doctor, LATER);
    let seen = read(jay, &told).unwrap_or_default();
    story.quote("Jay", &seen);
    story.check("Jay reads what Robin makes of it", seen == LATER);
    let _ = robin.client.post("agent.memory.revokeShare", &body).ok();
    story
        .check("after the share is revoked it is to Jay as if it had never been", read(jay, &told).is_none());

    let open = remember(robin, PUBLIC);
    let published = robin.client.post("agent.memory.publishMemory", &json!({ "uri": open })).json();
    story.check("nothing is published by accident", published["error"].is_string());
    let _ = robin.client.post("agent.memory.publishMemory", &json!({ "uri": open, "confirm": true })).ok();
    let rkey = open.rsplit('/').next().unwrap_or_default();
    let query = [("repo", robin.did.as_str()), ("collection", "agent.memory.note"), ("rkey", rkey)];
    let record = stage.near.client().get("com.atproto.repo.getRecord", &query).ok().json();
    story.quote("Anybody", text(&record["value"]["summary"]));
    story.check(
        "what Robin publishes is a public record at the same address",
        record["value"]["summary"] == PUBLIC && record["uri"] == open.as_str(),
    );
    found_by_jay(stage, story, &open);
}

/// Jay, who knows nothing of it, finds on the far host what Robin has published on the near one.
fn found_by_jay(stage: &Stage, story: &mut Story, uri: &str) {
    let peer = json!({ "host": format!("localhost:{}", stage.near.port()), "trust": "open" });
    let _ = stage.far.operate("agent.relay.putPeer", &peer).ok();
    let question = "wild fruit that tastes sour";
    story.tell(&format!(
        "The far host follows the near one as a peer, and Jay asks what is public for \"{question}\"."
    ));
    let query = [("q", question), ("scope", "public"), ("limit", "50")];
    let since = Instant::now();
    let hits = loop {
        let answer = stage.jay.client.get("agent.memory.searchMemories", &query).ok().json();
        let hits = answer["hits"].as_array().cloned().unwrap_or_default();
        if hits.iter().any(|hit| hit["memory"]["uri"] == uri) || since.elapsed() > PATIENCE {
            break hits;
        }
        pause(100);
    };
    let best = hits.first().cloned().unwrap_or_default();
    story.quote("Jay", text(&best["memory"]["record"]["summary"]));
    let by_meaning =
        best["channels"].as_array().is_some_and(|all| all.iter().any(|one| one["name"] == "vector"));
    let of_robin = best["memory"]["author"] == stage.robin.did.as_str() && best["memory"]["uri"] == uri;
    story.check("Jay finds by meaning what Robin has published on the other host", of_robin && by_meaning);
    let private =
        hits.iter().any(|hit| [DOCTOR, LATER].iter().chain(&OTHERS).any(|secret| says(hit, secret)));
    story.check("and nothing that Robin has not published", !private);
}

fn note(summary: &str) -> Value {
    json!({ "$type": "agent.memory.note", "summary": summary })
}

/// The address of a new memory.
fn remember(agent: &Agent, summary: &str) -> String {
    let made =
        agent.client.post("agent.memory.createMemory", &json!({ "record": note(summary) })).ok().json();
    text(&made["uri"]).to_owned()
}

fn update(agent: &Agent, uri: &str, summary: &str) {
    let body = json!({ "uri": uri, "record": note(summary) });
    let _ = agent.client.post("agent.memory.updateMemory", &body).ok();
}

/// What an agent reads at an address; nothing where it is told that there is no memory.
fn read(agent: &Agent, uri: &str) -> Option<String> {
    let answer = agent.client.get("agent.memory.getMemory", &[("uri", uri)]);
    let answer = answer.json();
    (answer["error"] != "MemoryNotFound").then(|| text(&answer["record"]["summary"]).to_owned())
}

fn says(item: &Value, word: &str) -> bool {
    item.to_string().contains(word)
}
