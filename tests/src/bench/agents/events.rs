//! Events to those who want some of them.

use std::thread;
use std::time::Instant;

use serde_json::json;

use crate::subscriber::Subscriber;

use super::super::firehose::per_second;
use super::super::host::{COLLECTION, CREATE, post};
use super::super::http::Connection;
use super::super::{Plan, median};
use super::{Figure, Network, Place};

/// Accounts that write at the same time, each heard by as many as the others.
const WRITERS: usize = 4;

/// Deliveries a second, all in all.
pub(super) fn filtered(network: &mut Network, plan: &Plan) -> Vec<Figure> {
    let samples: Vec<f64> = (0..plan.rounds).map(|_| sample(network, plan)).collect();
    let title = format!("events told to {} filtered subscribers", plan.filtered);
    vec![Figure::new(title, "deliveries/s", median(samples))]
}

/// Each subscriber wants the posts of one account. What it hears of is all that this account writes, and no more.
fn sample(network: &mut Network, plan: &Plan) -> f64 {
    let writers: Vec<_> = (0..WRITERS).map(|_| network.agent(Place::Here)).collect();
    let address = network.here().address();
    let each = plan.events.div_ceil(WRITERS);
    let mut subscribers: Vec<_> = (0..plan.filtered)
        .map(|index| {
            let did = &writers[index % WRITERS].agent.did;
            let path =
                format!("/xrpc/agent.relay.subscribeEvents?wantedCollections={COLLECTION}&wantedDids={did}");
            (did.as_str(), Subscriber::connect(&address, &path))
        })
        .collect();
    let mut connections: Vec<_> = writers
        .iter()
        .map(|writer| {
            let body = json!({ "repo": writer.agent.did, "collection": COLLECTION, "record": post() });
            (Connection::open(&writer.address, &writer.agent.access), body.to_string())
        })
        .collect();
    let start = Instant::now();
    thread::scope(|scope| {
        for (connection, body) in &mut connections {
            scope.spawn(|| {
                for _ in 0..each {
                    let _ = connection.post(CREATE, body);
                }
            });
        }
        for (did, subscriber) in &mut subscribers {
            scope.spawn(|| {
                for _ in 0..each {
                    let told = subscriber.message().unwrap().into_text().unwrap();
                    assert!(told.contains(*did), "an event of another account: {told}");
                }
            });
        }
    });
    per_second(each * plan.filtered, start.elapsed())
}
