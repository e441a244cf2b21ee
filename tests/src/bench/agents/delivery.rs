//! Messages: until they are accepted, until they are seen, how many, and what they cost.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::agent::message;
use crate::subscriber::Subscriber;

use super::super::firehose::per_second;
use super::super::host::{COLLECTION, CREATE, TEXT, post};
use super::super::http::Connection;
use super::super::{Plan, median, quantile};
use super::{Figure, Network, Place, Resident};

const SEND: &str = "/xrpc/agent.comms.sendMessage";
/// Where the reader is told what comes into its inbox, opened.
const INBOX: &str = "/xrpc/agent.comms.subscribeInbox";
/// Pairs of agents that write to each other at the same time.
const PAIRS: usize = 16;
/// How many times a createRecord a delivery may take on one host.
const TIMES: f64 = 3.0;
/// Rows that a delivered message may write, on both sides together.
const ROWS: f64 = 6.0;

/// What was measured of messages, in milliseconds each.
#[derive(Default)]
struct Times {
    /// A createRecord of the same sender, before each message.
    created: Vec<f64>,
    /// Until sendMessage was answered.
    accepted: Vec<f64>,
    /// Until the reader has seen the message in its inbox.
    seen: Vec<f64>,
}

/// Within one host.
pub(super) fn near(network: &mut Network, plan: &Plan) -> Vec<Figure> {
    let times = times(network, plan, Place::Here);
    let ratio = median(times.seen.iter().copied()) / median(times.created.iter().copied());
    let mut figures = times.figures("one host");
    figures.push(Figure::new("delivered on one host, to createRecord, p50", "times", ratio).at_most(TIMES));
    figures
}

/// From one host to another.
pub(super) fn far(network: &mut Network, plan: &Plan) -> Vec<Figure> {
    times(network, plan, Place::There).figures("two hosts")
}

/// Messages a second, many pairs.
pub(super) fn rates(network: &mut Network, plan: &Plan) -> Vec<Figure> {
    [(Place::Here, "one host"), (Place::There, "two hosts")]
        .map(|(place, hosts)| {
            let samples: Vec<f64> = (0..plan.rounds).map(|_| rate(network, plan, place)).collect();
            Figure::new(format!("messages delivered, {PAIRS} pairs, {hosts}"), "messages/s", median(samples))
        })
        .into()
}

/// Rows that a delivered message writes.
pub(super) fn rows(network: &mut Network, plan: &Plan) -> Vec<Figure> {
    let (from, to) = (network.agent(Place::Laboratory), network.agent(Place::Laboratory));
    let world = network.laboratory();
    let count =
        || [&from, &to].map(|resident| world.rows_written("agent", &resident.agent.did)).iter().sum::<u64>();
    let before = count();
    for _ in 0..plan.messages {
        delivered(&from.agent.tell(&to.agent, TEXT, "private"));
    }
    let written = u32::try_from(count() - before).unwrap();
    let each = f64::from(written) / f64::from(u32::try_from(plan.messages).unwrap());
    vec![Figure::new("rows written for a delivered message, both sides", "rows", each).at_most(ROWS)]
}

fn times(network: &mut Network, plan: &Plan, place: Place) -> Times {
    let mut times = Times::default();
    let to = network.agent(place);
    // A sender may send so many to an agent a minute, so each round has a sender of its own.
    for _ in 0..plan.rounds {
        let from = network.agent(Place::Here);
        times.take(&from, &to, plan.messages);
    }
    times
}

impl Times {
    fn take(&mut self, from: &Resident, to: &Resident, count: usize) {
        let mut sender = Connection::open(&from.address, &from.agent.access);
        let mut reader = Subscriber::with_token(&to.address, INBOX, &to.agent.access);
        let live = reader.json().unwrap();
        assert_eq!(live["payload"]["name"], "Live", "{live}");
        let record =
            json!({ "repo": from.agent.did, "collection": COLLECTION, "record": post() }).to_string();
        let send = body(from, to);
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(move || {
                for _ in 0..=count {
                    let item = reader.message().unwrap().into_text().unwrap();
                    let _ = tell.send((Instant::now(), item));
                }
            });
            for turn in 0..=count {
                let start = Instant::now();
                let _ = sender.post(CREATE, &record);
                let created = millis(start, Instant::now());
                let start = Instant::now();
                let answer = sender.post(SEND, &send);
                let accepted = millis(start, Instant::now());
                let answer: Value = serde_json::from_slice(answer).unwrap();
                delivered(&answer);
                let (at, item) = told.recv().unwrap();
                let item = &serde_json::from_str::<Value>(&item).unwrap()["payload"]["item"];
                assert_eq!(item["parcel"]["header"]["id"], answer["id"]);
                assert_eq!(item["record"]["content"]["text"], TEXT);
                // The first of a pair finds out what the later ones know.
                if turn > 0 {
                    self.created.push(created);
                    self.accepted.push(accepted);
                    self.seen.push(millis(start, at));
                }
            }
        });
    }

    fn figures(&self, hosts: &str) -> Vec<Figure> {
        let mut figures = Vec::new();
        for (title, samples) in [
            ("createRecord between the messages", &self.created),
            ("message accepted", &self.accepted),
            ("message seen by its reader", &self.seen),
        ] {
            for (name, share) in [("p50", 0.50), ("p99", 0.99)] {
                figures.push(Figure::new(
                    format!("{title}, {hosts}, {name}"),
                    "ms",
                    quantile(samples, share),
                ));
            }
        }
        figures
    }
}

fn rate(network: &mut Network, plan: &Plan, place: Place) -> f64 {
    let pairs: Vec<_> = (0..PAIRS).map(|_| (network.agent(Place::Here), network.agent(place))).collect();
    let mut senders: Vec<_> = pairs
        .iter()
        .map(|(from, to)| (Connection::open(&from.address, &from.agent.access), body(from, to)))
        .collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for (connection, body) in &mut senders {
            scope.spawn(|| {
                for _ in 0..plan.messages {
                    delivered(&serde_json::from_slice(connection.post(SEND, body)).unwrap());
                }
            });
        }
    });
    per_second(PAIRS * plan.messages, start.elapsed())
}

fn body(from: &Resident, to: &Resident) -> String {
    let mut record = message(TEXT);
    record["sender"] = from.agent.did.as_str().into();
    json!({ "record": record, "to": [to.agent.did], "privacy": "private" }).to_string()
}

#[track_caller]
fn delivered(answer: &Value) {
    assert_eq!(answer["receipts"][0]["state"], "delivered", "{answer}");
}

fn millis(start: Instant, end: Instant) -> f64 {
    Duration::as_secs_f64(&end.duration_since(start)) * 1e3
}
