//! Messages between agents in the real Worker: cheap, and delivered once whatever is killed. That they lie sealed is in `canary.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use murmuration_syntax::Tid;
use murmuration_tests::{Agent, Answer, Dice, Search, Setup, World, all_done, message, texts};
use serde_json::{Value, json};

/// Rows that a delivered message may write on both sides together.
const ROWS: u64 = 6;
/// Messages that the rows are counted over.
const SAMPLE: u64 = 20;
/// Kills, and messages that a sender is told to have sent before one, at most.
const ROUNDS: u64 = 6;
const EACH: u64 = 12;
/// The first try by the alarm is 20 seconds after the sending, and what follows a gap waits for a minute.
const PATIENCE: Duration = Duration::from_secs(150);
/// Short, so that what a dead reader held comes back soon.
const LEASE_SECONDS: u64 = 10;
/// Messages that are sent behind one that its reader's object died with.
const BEHIND: u64 = 4;
/// Messages that wait in the queue beside one that kills whoever takes it.
const POISONED: u64 = 5;
/// One that the Wasm dies with on the way is asked so often: the poison comes back more and more rarely.
const TRIES: usize = 5;
/// Between two looks at what is awaited.
const LOOK: Duration = Duration::from_millis(200);
/// Kills of the other host, at least, and those after which one must have caught a message on its way.
const LEAST_CROSSINGS: u64 = 4;
const MOST_CROSSINGS: u64 = 25;

#[test]
fn a_delivered_message_is_six_rows_on_both_sides_together() {
    let world = World::start();
    let (alice, bob) = (Agent::new(&world, "alice"), Agent::new(&world, "bob"));
    let rows = || [&alice, &bob].map(|agent| world.rows_written("agent", &agent.did)).iter().sum::<u64>();
    // The first wakes them.
    let _ = alice.tell(&bob, "first", "private");
    bob.done(&bob.claim(LEASE_SECONDS));
    let before = rows();
    for n in 0..SAMPLE {
        let sent = alice.tell(&bob, &format!("message {n}"), "private");
        assert_eq!(sent["receipts"][0]["state"], "delivered", "{sent}");
    }
    let sent = rows() - before;
    let items = bob.claim(LEASE_SECONDS);
    assert_eq!(u64::try_from(items.len()).unwrap(), SAMPLE);
    bob.done(&items);
    let all = rows() - before;
    println!("{SAMPLE} messages: {sent} rows until they were delivered, {all} until they were done");
    assert!(sent <= ROWS * SAMPLE, "{sent} rows");
}

/// Asks until the Wasm does not die meanwhile, of a ticket that is poison.
fn through_deaths(pause: Duration, ask: impl Fn() -> Answer) -> Value {
    for _ in 1..TRIES {
        let answer = ask();
        if answer.status != 500 {
            return answer.ok().json();
        }
        thread::sleep(pause);
    }
    ask().ok().json()
}

/// One who sends numbered messages, each under an id of its own until somebody says that it is sent.
struct Sender {
    agent: Agent,
    name: &'static str,
    sent: u64,
    /// Messages that were answered, by their ids.
    answered: Vec<String>,
    /// Of these, answers that said that the reader does not have it yet.
    queued: u64,
}

impl Sender {
    const fn new(agent: Agent, name: &'static str) -> Self {
        Self { agent, name, sent: 0, answered: Vec::new(), queued: 0 }
    }

    fn id(&self) -> String {
        let micros = 1_795_000_000_000_000 + self.sent;
        Tid::from_parts(micros, 0).to_string()
    }

    /// Asks for the next message to be sent.
    fn ask(&self, to: &Agent) -> Result<Answer, String> {
        let record = message(&format!("{} {}", self.name, self.sent));
        let body = json!({ "record": record, "to": [to.did], "id": self.id() });
        self.agent.client.try_post("agent.comms.sendMessage", &body)
    }

    /// Notes that it is sent.
    fn note(&mut self, answer: &Value) {
        assert_eq!(answer["id"], json!(self.id()));
        self.queued += u64::from(answer["receipts"][0]["state"] == "queued");
        self.answered.push(self.id());
        self.sent += 1;
    }

    /// Sends the next message through the death of the Wasm that it may bring about, by which all calls fail that are on their
    /// way; says whether it did.
    fn insist(&mut self, to: &Agent) -> bool {
        let mut died = false;
        loop {
            let answer = self.ask(to).unwrap();
            if answer.status != 500 {
                self.note(&answer.ok().json());
                return died;
            }
            assert!(!died, "{}", answer.text());
            died = true;
        }
    }

    /// Sends until nobody answers, or it is enough, and says each success. What was not answered is sent again next time.
    fn send(&mut self, to: &Agent, enough: &AtomicBool, success: &mpsc::Sender<()>) {
        while !enough.load(Ordering::Relaxed) {
            let Ok(answer) = self.ask(to) else { return };
            self.note(&answer.ok().json());
            let _ = success.send(());
        }
    }

    fn said(&self) -> Vec<String> {
        (0..self.sent).map(|n| format!("{} {n}", self.name)).collect()
    }

    /// Waits for the alarm to bring what has not come.
    fn wait_until_delivered(&self) {
        self.wait_for(|id| self.agent.status(&json!({ "id": id })));
    }

    /// Waits until all that was sent is delivered, as `status` says.
    fn wait_for(&self, status: impl Fn(&str) -> Value) {
        let deadline = Instant::now() + PATIENCE;
        for id in &self.answered {
            while status(id)["state"] != "delivered" {
                assert!(Instant::now() < deadline, "{}", status(id));
                thread::sleep(LOOK);
            }
        }
    }
}

/// What a reader was handed, and what of it the host knows to be done.
#[derive(Default)]
struct Read {
    /// How often each text was handed out.
    handed: BTreeMap<String, u32>,
    /// Texts whose end was answered.
    done: BTreeSet<String>,
    /// Texts whose end nobody has answered.
    unsure: BTreeSet<String>,
}

impl Read {
    /// Claims and says what is done, until nobody answers or there are so many.
    fn read(&mut self, reader: &Agent, enough: impl Fn(&Self) -> bool) {
        let claim = json!({ "max": 7, "leaseSeconds": LEASE_SECONDS });
        while !enough(self) {
            let Ok(answer) = reader.client.try_post("agent.comms.claimMessages", &claim) else { return };
            let items = answer.ok().json()["items"].as_array().unwrap().clone();
            if items.is_empty() {
                thread::sleep(Duration::from_millis(20));
                continue;
            }
            for text in texts(&items) {
                assert!(!self.done.contains(&text), "{text:?} is done, and was handed out again");
                *self.handed.entry(text).or_default() += 1;
            }
            self.unsure.extend(texts(&items));
            let Ok(answer) = reader.client.try_post("agent.comms.ackMessages", &all_done(&items)) else {
                return;
            };
            assert_eq!(answer.ok().json()["missing"], json!([]));
            for text in texts(&items) {
                self.unsure.remove(&text);
                self.done.insert(text);
            }
        }
    }
}

#[test]
fn messages_sent_under_kills_come_once_and_in_order() {
    let mut world = World::start();
    let bob = Agent::new(&world, "bob");
    let mut senders = ["alice", "carol"].map(|name| Sender::new(Agent::new(&world, name), name));
    let (mut read, mut dice) = (Read::default(), Dice::new(141_421_356));
    for _ in 0..ROUNDS {
        let (success, successes) = mpsc::channel();
        thread::scope(|scope| {
            for sender in &mut senders {
                let (bob, success) = (&bob, success.clone());
                scope.spawn(move || sender.send(bob, &AtomicBool::new(false), &success));
            }
            let (read, bob) = (&mut read, &bob);
            scope.spawn(move || read.read(bob, |_| false));
            drop(success);
            for _ in 0..=dice.roll(EACH) {
                successes.recv().expect("a sender gave up before the host died");
            }
            world.kill_9();
        });
        world.restart();
    }
    // Once more what nobody has answered; the alarm brings what was stored and not delivered.
    for sender in &mut senders {
        let _ = sender.insist(&bob);
    }
    let count: u64 = senders.iter().map(|sender| sender.sent).sum();
    let deadline = Instant::now() + PATIENCE;
    let settled = |read: &Read| {
        let known = read.done.len() + read.unsure.len();
        u64::try_from(known).unwrap() >= count || Instant::now() > deadline
    };
    read.read(&bob, settled);

    for sender in &senders {
        sender.wait_until_delivered();
        let said = sender.said();
        assert!(said.iter().all(|text| read.handed.contains_key(text)), "the reader was not handed all");
        let threads = sender.agent.look("listThreads", &[]);
        let name = threads["threads"][0]["id"].as_str().unwrap();
        for side in [&sender.agent, &bob] {
            let items = side.thread(name);
            assert_eq!(texts(&items), said, "none lost, none twice, in order");
            let places: Vec<u64> =
                items.iter().map(|item| item["parcel"]["header"]["seq"].as_u64().unwrap()).collect();
            assert_eq!(places, (1..=sender.sent).collect::<Vec<_>>());
        }
    }
    let again: u32 = read.handed.values().map(|times| times - 1).sum();
    println!("{ROUNDS} kills in {count} messages: {again} were handed out again");
}

/// Claims until nothing comes, and says of all that it is done.
fn claim_all(agent: &Agent) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let items = agent.claim(LEASE_SECONDS);
        if items.is_empty() {
            return all;
        }
        agent.done(&items);
        all.extend(items);
    }
}

#[test]
fn a_message_that_its_readers_object_dies_with_comes_once_and_in_its_place() {
    let world = World::start();
    let mut pairs = Vec::new();
    for (name, reader, when) in [
        ("alice", "bob", "before"),
        ("carol", "dave", "after"),
        ("erin", "frank", "before"),
        ("grace", "heidi", "after"),
    ] {
        let (mut sender, reader) = (Sender::new(Agent::new(&world, name), name), Agent::new(&world, reader));
        assert!(!sender.insist(&reader));
        let path = format!("/test/break-take?object=agent&name={}&when={when}", reader.did);
        let _ = reader.client.path(&path).ok();
        // What the object has stored and not flushed is gone with it. What is sent behind that waits for it.
        assert!(sender.insist(&reader), "{when}");
        for _ in 0..BEHIND {
            assert!(!sender.insist(&reader));
        }
        pairs.push((sender, reader));
    }
    for (sender, reader) in &pairs {
        sender.wait_until_delivered();
        let items = claim_all(reader);
        assert_eq!(texts(&items), sender.said());
        let thread = items[0]["parcel"]["header"]["thread"].as_str().unwrap();
        assert_eq!(texts(&reader.thread(thread)), sender.said());
    }
}

#[test]
fn a_ticket_that_kills_the_wasm_does_not_hold_up_the_others() {
    let world = World::start();
    let (alice, bob) = (Agent::new(&world, "alice"), Agent::new(&world, "bob"));
    let mut sender = Sender::new(alice, "alice");
    let _ = world.client().path("/test/queue?body=%7B%22poison%22:true%7D").ok();
    for _ in 0..POISONED {
        let path = format!("/test/break-take?object=agent&name={}&when=before", bob.did);
        let _ = bob.client.path(&path).ok();
        // It dies of the message, and at any time of the poison.
        let sent = through_deaths(LOOK, || sender.ask(&bob).unwrap());
        sender.note(&sent);
    }
    let status = |id: &str| {
        through_deaths(LOOK, || sender.agent.client.get("agent.comms.getDeliveryStatus", &[("id", id)]))
    };
    sender.wait_for(|id| status(id)["receipts"][0].clone());
    // What a claim handed out and could not say comes back when its lease is over.
    let claim = json!({ "max": 2 * POISONED, "leaseSeconds": LEASE_SECONDS });
    let claimed = || bob.client.post("agent.comms.claimMessages", &claim);
    let items = through_deaths(Duration::from_secs(LEASE_SECONDS + 1), claimed)["items"].clone();
    assert_eq!(texts(items.as_array().unwrap()), sender.said());
    assert!(world.log().contains("a message of a queue failed"), "the poison was not taken");
}

#[test]
fn a_sealed_message_crosses_to_a_host_that_is_killed_in_between() {
    let here = World::start();
    let mut there = Setup::new().plc_of(&here).start();
    let (alice, bob) = (Agent::new(&here, "alice"), Agent::new(&there, "bob"));
    bob.allow(&alice);
    let first = alice.tell(&bob, "acrossthewater-4711", "private");
    assert_eq!(first["receipts"][0]["state"], "delivered", "{first}");
    // The other host dies whenever it likes, until it has died with a sealed message on its way.
    let mut sender = Sender::new(alice, "alice");
    let (mut dice, mut kills) = (Dice::new(1_732_050_807), 0);
    while sender.queued == 0 || kills < LEAST_CROSSINGS {
        let (success, successes) = mpsc::channel();
        // A message to a host that is away is taken, and waits.
        let enough = AtomicBool::new(false);
        thread::scope(|scope| {
            let (sender, bob, enough) = (&mut sender, &bob, &enough);
            scope.spawn(move || sender.send(bob, enough, &success));
            for _ in 0..=dice.roll(3) {
                successes.recv().expect("the sender gave up before the host died");
            }
            thread::sleep(Duration::from_millis(dice.roll(20)));
            there.kill_9();
            enough.store(true, Ordering::Relaxed);
        });
        there.restart();
        kills += 1;
        assert!(sender.queued > 0 || kills < MOST_CROSSINGS, "no message was on its way in {kills} kills");
    }
    sender.wait_until_delivered();
    let mut said = vec!["acrossthewater-4711".to_owned()];
    said.extend(sender.said());
    let items = claim_all(&bob);
    assert_eq!(texts(&items), said);
    for world in [&here, &there] {
        assert!(Search::new().word("it", "acrossthewater-4711").found_below(&world.folder()).is_empty());
    }
    println!("{} messages to a host that was killed {kills} times", sender.sent);
}
