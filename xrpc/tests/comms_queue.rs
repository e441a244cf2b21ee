//! Messages whose first try fails: what the queue does of it, and what the alarm.

use murmuration_comms::limits::TICKET_PATIENCE_MICROS;
use murmuration_comms::{DeliveryState, Receipt};
use murmuration_platform::Clock;
use murmuration_xrpc::host::{Redeemed, Ticket};
use serde_json::{Value, json};

use crate::world::agents::texts;
use crate::world::hosts::{Hosts, Weather};
use crate::world::operator::{account, act};
use crate::world::{World, block_on};

fn hosts() -> Hosts {
    let hosts = Hosts::new();
    hosts.bob_publishes_keys();
    hosts.there.say_of(&hosts.bob, &hosts.alice.did, "allowed");
    hosts
}

/// Sends a text that does not arrive at once.
fn tell(hosts: &Hosts, text: &str, weather: Weather) -> Value {
    hosts.weather.set(weather);
    let sent = hosts.here.tell(&hosts.alice, &hosts.bob.did, text);
    assert_eq!(sent["receipts"][0]["state"], "queued", "{weather:?}");
    sent["id"].clone()
}

fn alarm(hosts: &Hosts) {
    block_on(hosts.here.host().carry_due(&hosts.alice.did)).unwrap();
}

/// The receipt, also when Alice's session has ended long since.
fn receipt(hosts: &Hosts, id: &Value) -> Receipt {
    let accounts = hosts.here.objects.accounts.borrow();
    let id = id.as_str().unwrap().parse().unwrap();
    accounts[&hosts.alice.did].comms().unwrap().sent(id).unwrap().unwrap().receipts.remove(0)
}

fn ticket(hosts: &Hosts) -> Ticket {
    hosts.here.queue.tickets.borrow()[0].0.clone()
}

/// Seconds until the only ticket comes out.
fn wait(hosts: &Hosts) -> u64 {
    let tickets = hosts.here.queue.tickets.borrow();
    assert_eq!(tickets.len(), 1);
    (tickets[0].1 - hosts.here.clock.now_micros()) / 1_000_000
}

fn read(hosts: &Hosts) -> Vec<String> {
    let items = hosts.there.claim(&hosts.bob);
    hosts.there.done(&hosts.bob, &items);
    texts(&items).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_message_outlives_the_absence_of_the_other_host_and_has_one_effect() {
    let hosts = hosts();
    for (n, weather) in [
        Weather::Away,
        Weather::Deaf,
        Weather::Status(500, None),
        Weather::Status(503, Some(1)),
        Weather::Status(429, Some(90)),
        Weather::Status(401, None),
        Weather::Status(301, None),
    ]
    .into_iter()
    .enumerate()
    {
        let id = tell(&hosts, &n.to_string(), weather);
        hosts.weather.set(Weather::Fine);
        hosts.pass_minutes(1);
        // The queue has it, so the alarm has nothing to do.
        let tries = hosts.deliveries.borrow().len();
        alarm(&hosts);
        assert_eq!(hosts.deliveries.borrow().len(), tries);
        if weather == Weather::Status(429, Some(90)) {
            assert_eq!(hosts.here.run_queue(), 0, "not before it is asked to");
            hosts.pass_minutes(1);
        }
        assert_eq!(hosts.here.run_queue(), 1);
        assert_eq!(hosts.status(&id)["state"], "delivered", "{weather:?}");
        assert!(hosts.here.queue.tickets.borrow().is_empty());
        assert_eq!(read(&hosts), [n.to_string()], "{weather:?}");
    }
}

#[test]
fn a_ticket_names_the_message_and_says_nothing_of_it() {
    let hosts = hosts();
    let id = tell(&hosts, "a secret", Weather::Away);
    let expected = json!({ "from": hosts.alice.did, "id": id, "to": hosts.bob.did });
    assert_eq!(serde_json::to_value(ticket(&hosts)).unwrap(), expected);
}

#[test]
fn the_queue_waits_longer_each_time_and_as_long_as_it_is_asked() {
    let hosts = hosts();
    let id = tell(&hosts, "x", Weather::Away);
    let mut waits = vec![wait(&hosts)];
    for _ in 0..7 {
        hosts.pass_minutes(3);
        assert_eq!(hosts.here.run_queue(), 1);
        waits.push(wait(&hosts));
    }
    for (least, wait) in [1, 2, 4, 8, 16, 32, 64, 128].into_iter().zip(&waits) {
        assert!((least..=2 * least).contains(wait), "{waits:?}");
    }
    hosts.weather.set(Weather::Status(429, Some(7_000)));
    hosts.pass_minutes(5);
    hosts.here.run_queue();
    assert!((7_000..7_010).contains(&wait(&hosts)));
    // Longer than the queue keeps anything: it comes early, and nothing is tried.
    hosts.weather.set(Weather::Status(429, Some(80_000)));
    hosts.pass_minutes(120);
    hosts.here.run_queue();
    assert_eq!(wait(&hosts), 12 * 60 * 60);
    let before = receipt(&hosts, &id);
    hosts.pass_minutes(12 * 60);
    hosts.here.run_queue();
    assert!((36_790..36_810).contains(&wait(&hosts)), "{}", wait(&hosts));
    assert_eq!(receipt(&hosts, &id), before);
    hosts.weather.set(Weather::Fine);
    hosts.pass_minutes(11 * 60);
    hosts.here.run_queue();
    assert_eq!(receipt(&hosts, &id).state, DeliveryState::Delivered);
}

#[test]
fn a_clear_no_to_a_ticket_is_for_good() {
    let hosts = hosts();
    let id = tell(&hosts, "large", Weather::Away);
    hosts.weather.set(Weather::Status(413, None));
    hosts.pass_minutes(1);
    hosts.here.run_queue();
    assert_eq!(hosts.status(&id)["state"], "rejected");
    assert!(hosts.here.queue.tickets.borrow().is_empty());
}

#[test]
fn what_the_queue_does_not_take_is_the_alarms() {
    let hosts = hosts();
    hosts.here.queue.refuses.set(true);
    let id = tell(&hosts, "x", Weather::Away);
    for tries in [2, 3] {
        hosts.pass_minutes(1);
        alarm(&hosts);
        assert_eq!(hosts.status(&id)["attempts"], tries);
    }
    // The queue is well again: one that the alarm has stays with it.
    hosts.here.queue.refuses.set(false);
    hosts.pass_minutes(1);
    alarm(&hosts);
    assert!(hosts.here.queue.tickets.borrow().is_empty());
    hosts.weather.set(Weather::Fine);
    hosts.pass_minutes(1);
    alarm(&hosts);
    assert_eq!(
        (hosts.status(&id)["state"].as_str(), read(&hosts)),
        (Some("delivered"), vec!["x".to_owned()])
    );
}

#[test]
fn a_ticket_that_is_lost_is_missed_by_the_alarm() {
    let hosts = hosts();
    let id = tell(&hosts, "x", Weather::Away);
    let lost = hosts.here.queue.tickets.borrow_mut().remove(0).0;
    let patience = TICKET_PATIENCE_MICROS / 60_000_000;
    hosts.pass_minutes(patience);
    alarm(&hosts);
    assert_eq!(hosts.status(&id)["attempts"], 1);
    hosts.pass_minutes(1);
    alarm(&hosts);
    assert_eq!(hosts.status(&id)["attempts"], 2);
    // It turns up again, and is worth nothing: the delivery is the alarm's.
    hosts.weather.set(Weather::Fine);
    hosts.pass_minutes(1);
    assert_eq!(block_on(hosts.here.host().redeem(&lost, 9)), Redeemed::Done);
    assert_eq!(hosts.status(&id)["state"], "queued");
    alarm(&hosts);
    assert_eq!(
        (hosts.status(&id)["state"].as_str(), read(&hosts)),
        (Some("delivered"), vec!["x".to_owned()])
    );
}

#[test]
fn one_ticket_brings_all_that_waits_in_the_thread_in_order_and_once() {
    for no_queue in [false, true] {
        let hosts = hosts();
        hosts.here.no_queue.set(no_queue);
        let ids: Vec<Value> = ["one", "two", "three"].map(|text| tell(&hosts, text, Weather::Away)).into();
        // Only the first was tried; the others go behind it.
        let tries: Vec<Value> = ids.iter().map(|id| hosts.status(id)["attempts"].clone()).collect();
        assert_eq!(tries, [1, 0, 0]);
        assert!(hosts.status(&ids[1])["nextAttemptAt"].is_null());
        assert_eq!(hosts.here.queue.tickets.borrow().len(), usize::from(!no_queue));
        let again = hosts.here.queue.tickets.borrow().clone();
        hosts.here.queue.tickets.borrow_mut().extend(again);
        hosts.pass_minutes(1);
        hosts.weather.set(Weather::Fine);
        hosts.here.run_queue();
        alarm(&hosts);
        assert!(ids.iter().all(|id| hosts.status(id)["state"] == "delivered"));
        assert_eq!(read(&hosts), ["one", "two", "three"]);
        assert_eq!(hosts.deliveries.borrow().len(), 3);
    }
}

#[test]
fn what_the_queue_gives_up_has_failed_and_its_receipt_says_so() {
    let hosts = hosts();
    let id = tell(&hosts, "x", Weather::Away);
    let given_up = ticket(&hosts);
    hosts.here.objects.broken.borrow_mut().insert(hosts.alice.did.clone());
    let bury = |attempts| block_on(hosts.here.host().give_up(&given_up, attempts));
    assert!(matches!(bury(1), Redeemed::Again(1..=2)) && matches!(bury(9), Redeemed::Again(256..=512)));
    hosts.here.objects.broken.borrow_mut().clear();
    assert_eq!(bury(2), Redeemed::Done);
    let receipt = hosts.status(&id);
    assert_eq!((&receipt["state"], receipt["reason"].is_string()), (&json!("failed"), true));
    // What has arrived is not undone.
    hosts.weather.set(Weather::Fine);
    let sent = hosts.here.tell(&hosts.alice, &hosts.bob.did, "y");
    let id = sent["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(block_on(hosts.here.host().give_up(&Ticket { id, ..given_up }, 1)), Redeemed::Done);
    assert_eq!(hosts.status(&sent["id"])["state"], "delivered");
}

#[test]
fn a_ticket_waits_for_its_senders_object_and_ends_with_its_account() {
    let hosts = hosts();
    tell(&hosts, "x", Weather::Away);
    hosts.here.objects.broken.borrow_mut().insert(hosts.alice.did.clone());
    hosts.pass_minutes(1);
    assert_eq!(hosts.here.run_queue(), 1);
    assert!((1..=2).contains(&wait(&hosts)));
    hosts.here.objects.broken.borrow_mut().clear();
    let orphan = Ticket { from: "did:plc:abcdefghijklmnopqrstuvwx".parse().unwrap(), ..ticket(&hosts) };
    assert_eq!(block_on(hosts.here.host().redeem(&orphan, 1)), Redeemed::Done);
    assert_eq!(block_on(hosts.here.host().give_up(&orphan, 1)), Redeemed::Done);
}

#[test]
fn what_waits_of_an_account_that_was_taken_down_goes_out_when_it_is_back() {
    for by_queue in [true, false] {
        let world = World::new();
        let (alice, bob) = (world.agent("alice"), world.agent("bob"));
        world.no_queue.set(!by_queue);
        world.objects.broken.borrow_mut().insert(bob.did.clone());
        // A public one, for the keys of the reader are not to be had either.
        let content = json!({ "kind": "text", "text": "wait" });
        let record = json!({ "$type": "agent.comms.message", "content": content });
        let input = json!({ "record": record, "to": [bob.did], "privacy": "public" });
        let (_, sent) = world.call(&alice, "sendMessage", &input);
        assert_eq!(sent["receipts"][0]["state"], "queued", "{sent}");
        world.objects.broken.borrow_mut().clear();
        let take_down = |applied: bool| {
            let action =
                json!({ "subject": account(alice.did.as_str()), "takedown": { "applied": applied } });
            assert_eq!(act(&world, &action).0, 200);
        };
        let try_all = || {
            for _ in 0..10 {
                world.pass_minutes(5);
                let _ = world.run_queue();
                block_on(world.host().carry_due(&alice.did)).unwrap();
            }
        };
        take_down(true);
        try_all();
        assert!(world.claim(&bob).is_empty(), "by the queue: {by_queue}");
        take_down(false);
        try_all();
        assert_eq!(texts(&world.claim(&bob)), ["wait"], "by the queue: {by_queue}");
    }
}
