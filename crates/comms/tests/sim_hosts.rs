//! Ten thousand messages between two hosts that die, over links that lose, repeat and reorder, with queues that refuse, lose and
//! repeat. Both sides are real, over SQLite; what the Worker does between them (`murmuration_xrpc`, `host/comms`) is played.

use std::collections::{BTreeMap, BTreeSet};

use murmuration_comms::limits::{MAX_ATTEMPTS, MAX_TICKET_RETRIES};
use murmuration_comms::{
    Attempt, Claim, CommsError, Delivery, DeliveryState, Due, Keeper, Outcome, Parcel, Ticket, backoff,
};
use murmuration_platform::Store;
use murmuration_syntax::{Did, Tid};

use crate::common::{Agent, NOW, Random, SECOND, text};

const MESSAGES: usize = 10_000;
/// Agents of each host.
const AGENTS: usize = 4;
const THREADS: [&str; 2] = ["a", "b"];
const POISON: usize = 20;
/// Microseconds in which all of it is sent.
const SENDING: u64 = 20 * 60 * SECOND;
/// Messages of a line that one call carries, as the host's `MAX_LINE`.
const MAX_LINE: usize = 200;
/// Microseconds between two looks of a reader.
const LOOK: u64 = 2 * SECOND;

/// A ticket in a queue: whose message it is for and to whom, when it comes out, and how often it has.
#[derive(Clone)]
struct Letter {
    from: usize,
    id: Tid,
    to: Did,
    at: u64,
    attempts: u32,
}

/// The host died in the middle of what it did.
struct Dead;

/// Sender, reader, thread.
type Line = (usize, usize, String);

#[derive(Default, Debug)]
struct Count {
    kills: u64,
    lost_answers: u64,
    late: u64,
    refused_tickets: u64,
    lost_tickets: u64,
    repeated_tickets: u64,
    broken_storage: u64,
    repeats: u64,
    dead_letters: u64,
}

struct Sim {
    random: Random,
    now: u64,
    agents: Vec<Agent>,
    /// Until when each host is down.
    down: [u64; 2],
    letters: [Vec<Letter>; 2],
    /// Parcels that arrive after nobody waits for their answer any more.
    late: Vec<(u64, usize, Parcel)>,
    /// Whether anything still goes wrong.
    rough: bool,
    done: BTreeMap<Line, Vec<u32>>,
    count: Count,
}

const fn host_of(agent: usize) -> usize {
    agent / AGENTS
}

impl Sim {
    fn new(seed: u64) -> Self {
        Self {
            random: Random::of(seed),
            now: NOW,
            agents: (0..2 * AGENTS).map(|n| Agent::new(&format!("agent{n}"))).collect(),
            down: [0; 2],
            letters: [Vec::new(), Vec::new()],
            late: Vec::new(),
            rough: true,
            done: BTreeMap::new(),
            count: Count::default(),
        }
    }

    /// One in so many times, while things go wrong.
    fn strikes(&self, one_in: usize) -> bool {
        self.rough && self.random.below(one_in) == 0
    }

    fn is_up(&self, host: usize) -> bool {
        self.down[host] <= self.now
    }

    fn agent(&self, did: &Did) -> usize {
        self.agents.iter().position(|agent| agent.did == *did).unwrap()
    }

    /// `kill -9`: memory goes, and what was being done.
    fn kill(&mut self, host: usize) {
        self.count.kills += 1;
        self.down[host] = self.now + self.random.next() % (150 * SECOND);
        self.agents[host * AGENTS..(host + 1) * AGENTS].iter_mut().for_each(Agent::restart);
    }

    /// A place where a host may die.
    fn step(&mut self, host: usize) -> Result<(), Dead> {
        if self.strikes(1500) {
            self.kill(host);
            return Err(Dead);
        }
        Ok(())
    }

    /// A call of an agent's object, whose storage may fail at any statement.
    fn call<T>(
        &mut self,
        agent: usize,
        call: impl Fn(&Agent) -> Result<T, CommsError>,
    ) -> Result<T, CommsError> {
        let breaks = self.strikes(200).then(|| self.random.next() % 6);
        self.agents[agent].store.fail_after(breaks);
        let outcome = call(&self.agents[agent]);
        self.agents[agent].store.fail_after(None);
        self.count.broken_storage += u64::from(breaks.is_some() && outcome.is_err());
        outcome
    }

    /// One try to deliver, as the sender's host sees it.
    fn bring(&mut self, from: usize, to: usize, parcel: &Parcel) -> Result<Attempt, Dead> {
        let later = |after, reason: &str| Attempt::Later {
            retry_after_seconds: after,
            reason: reason.into(),
            fault: reason == "500",
            keeper: None,
        };
        self.step(host_of(from))?;
        if !self.is_up(host_of(to)) {
            return Ok(later(None, "no answer"));
        }
        match self.random.below(60) {
            0 if self.rough => return Ok(later(Some(3), "429")),
            1 if self.rough => return Ok(later(None, "500")),
            2 if self.rough => return Ok(later(None, "cut off")),
            3 if self.rough => {
                self.count.late += 1;
                self.late.push((self.now + self.random.next() % (40 * SECOND), to, parcel.clone()));
                return Ok(later(None, "timed out"));
            }
            _ => {}
        }
        let bytes = parcel.to_cbor().unwrap();
        // What is poison, its reader's host cannot take.
        if String::from_utf8_lossy(&bytes).contains("poison") {
            return Ok(later(None, "500"));
        }
        let took = self.receive(to, parcel);
        if self.strikes(40) {
            self.count.lost_answers += 1;
            return Ok(later(None, "the answer was lost"));
        }
        Ok(match took {
            Ok(Delivery::Duplicate) => {
                self.count.repeats += 1;
                Attempt::Delivered
            }
            Ok(_) => Attempt::Delivered,
            Err(CommsError::Busy { seconds, .. }) => later(Some(seconds), "busy"),
            Err(CommsError::Store(_)) => later(None, "500"),
            Err(error) => panic!("{error}"),
        })
    }

    fn receive(&mut self, to: usize, parcel: &Parcel) -> Result<Delivery, CommsError> {
        let now = self.now;
        let took = self.call(to, |agent| agent.receive(parcel, now));
        if self.strikes(1500) {
            self.kill(host_of(to));
        }
        took
    }

    fn put(&mut self, from: usize, id: Tid, to: &Did, seconds: u64) -> bool {
        // The queue of the second host is a bad one.
        if self.rough && self.random.below([20, 2][host_of(from)]) == 0 {
            self.count.refused_tickets += 1;
            return false;
        }
        if self.strikes(100) {
            self.count.lost_tickets += 1;
            return true;
        }
        let letter = Letter { from, id, to: to.clone(), at: self.now + (seconds + 1) * SECOND, attempts: 0 };
        if self.strikes(10) {
            self.count.repeated_tickets += 1;
            self.letters[host_of(from)].push(letter.clone());
        }
        self.letters[host_of(from)].push(letter);
        true
    }

    /// `carry_one`.
    fn carry_one(&mut self, from: usize, due: Due) -> Result<Vec<Due>, Dead> {
        let parcel = Parcel::from_cbor(&due.parcel).unwrap();
        let random = self.random.next();
        let mut attempts = Vec::new();
        let kinds =
            [(&due.first, Some(Keeper::Queue)), (&due.again, Some(Keeper::Alarm)), (&due.aside, None)];
        for (to, mut next) in
            kinds.into_iter().flat_map(|(all, keeper)| all.iter().map(move |to| (to, keeper)))
        {
            let mut attempt = self.bring(from, self.agent(to), &parcel)?;
            self.step(host_of(from))?;
            if let Attempt::Later { retry_after_seconds, keeper, .. } = &mut attempt {
                if next == Some(Keeper::Queue) {
                    let wait = backoff(1, *retry_after_seconds, random).div_ceil(SECOND);
                    next = Some(if self.put(from, due.id, to, wait) { Keeper::Queue } else { Keeper::Alarm });
                }
                *keeper = next;
            }
            attempts.push((to.clone(), attempt));
        }
        self.step(host_of(from))?;
        self.settle(from, due.id, &attempts, random)
    }

    fn settle(
        &mut self,
        from: usize,
        id: Tid,
        attempts: &[(Did, Attempt)],
        random: u64,
    ) -> Result<Vec<Due>, Dead> {
        let now = self.now;
        let settled = self.call(from, |agent| agent.comms.settle(id, attempts, now, random));
        self.step(host_of(from))?;
        Ok(settled.map(|settled| settled.next).unwrap_or_default())
    }

    /// `carry_line`.
    fn carry_line(&mut self, from: usize, next: Vec<Due>) -> Result<(), Dead> {
        let mut line: std::collections::VecDeque<Due> = next.into();
        for _ in 0..MAX_LINE {
            let Some(due) = line.pop_front() else { return Ok(()) };
            line.extend(self.carry_one(from, due)?);
        }
        for due in line {
            for to in &due.first {
                let _ = self.put(from, due.id, to, 0);
            }
        }
        Ok(())
    }

    fn carry(&mut self, from: usize, due: Due) -> Result<(), Dead> {
        let next = self.carry_one(from, due)?;
        self.carry_line(from, next)
    }

    /// `sendMessage`. Its caller asks until it is told that it is sent.
    fn send(&mut self, n: usize) -> Option<(Line, u32)> {
        let host = self.random.below(2);
        let (from, to) = (host * AGENTS + self.random.below(AGENTS), self.random.below(2 * AGENTS));
        if from == to || !self.is_up(host) {
            return None;
        }
        let thread = THREADS[self.random.below(2)];
        let what = if n.is_multiple_of(MESSAGES / POISON) { format!("poison {n}") } else { n.to_string() };
        let name = format!("{thread} {from} {to}");
        let reader = &self.agents[to];
        let parcel =
            self.agents[from].open_parcel(self.agents[from].header(&[reader], Some(&name), self.now), &what);
        let (bytes, now) = (parcel.to_cbor().unwrap(), self.now);
        let (first, heads) =
            self.call(from, |agent| agent.comms.send(&parcel, &bytes, b"", None, now)).ok()?;
        let header = parcel.header();
        let due = Due { id: header.id, first, again: Vec::new(), aside: Vec::new(), parcel: bytes };
        if !due.first.is_empty() {
            let _ = self.carry(from, due);
        }
        let _ = self.carry_line(from, heads);
        Some(((from, to, name), if what.starts_with("poison") { 0 } else { header.seq }))
    }

    /// The consumer of a host's queue, and of what that gives up.
    fn consume(&mut self, host: usize) {
        let now = self.now;
        let (mut due, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.letters[host]).into_iter().partition(|letter| letter.at <= now);
        self.letters[host] = rest;
        while !due.is_empty() {
            let letter = due.swap_remove(self.random.below(due.len()));
            let again = |seconds: u64| Letter {
                at: now + seconds * SECOND,
                attempts: letter.attempts + 1,
                ..letter.clone()
            };
            if letter.attempts > MAX_TICKET_RETRIES {
                self.count.dead_letters += 1;
                let buried = self.call(letter.from, |agent| agent.comms.give_up(letter.id, &letter.to, now));
                if buried.is_err() {
                    self.letters[host].push(again(2));
                }
                continue;
            }
            match self.redeem(&letter) {
                Ok(None) => {}
                Ok(Some(seconds)) => self.letters[host].push(again(seconds)),
                Err(Dead) => {
                    // What was out comes again, all of it.
                    self.letters[host].push(again(1));
                    self.letters[host].append(&mut due);
                    return;
                }
            }
        }
    }

    fn redeem(&mut self, letter: &Letter) -> Result<Option<u64>, Dead> {
        let (from, now) = (letter.from, self.now);
        let parcel = match self.call(from, |agent| agent.comms.redeem(letter.id, &letter.to, now)) {
            Err(_) => return Ok(Some(2)),
            Ok(Ticket::Void) => return Ok(None),
            Ok(Ticket::Early(micros)) => return Ok(Some(micros.div_ceil(SECOND))),
            Ok(Ticket::Try(parcel)) => Parcel::from_cbor(&parcel).unwrap(),
        };
        let mut attempt = self.bring(from, self.agent(&letter.to), &parcel)?;
        if let Attempt::Later { keeper, .. } = &mut attempt {
            *keeper = Some(Keeper::Queue);
        }
        self.step(host_of(from))?;
        let next = self.settle(from, letter.id, &[(letter.to.clone(), attempt)], self.random.next())?;
        self.carry_line(from, next)?;
        let receipts = self.agents[from].comms.sent(letter.id).unwrap().unwrap().receipts;
        let receipt = receipts.iter().find(|receipt| receipt.to == letter.to).unwrap();
        let waits = receipt.state == DeliveryState::Queued && receipt.keeper == Keeper::Queue;
        Ok(waits.then(|| receipt.due.saturating_sub(now).div_ceil(SECOND)))
    }

    /// The alarm of an object.
    fn alarm(&mut self, from: usize) {
        let now = self.now;
        for due in self.call(from, |agent| agent.comms.due(now, 20)).unwrap_or_default() {
            if self.carry(from, due).is_err() {
                return;
            }
        }
    }

    /// A reader takes what there is, and may die before it says what became of it.
    fn work(&mut self, reader: usize) {
        let now = self.now;
        let claim = Claim { max: 50, micros: 20 * SECOND, kinds: &[] };
        let Ok(items) = self.call(reader, |agent| agent.comms.claim(&claim, now)) else {
            return;
        };
        let dies = self.strikes(20);
        let items = if dies { &items[..items.len() / 2] } else { &items[..] };
        let done: Vec<_> = items.iter().map(|item| (item.lease.unwrap().id(), Outcome::Done)).collect();
        let Ok(missing) = self.agents[reader].comms.acknowledge(&done, now) else { return };
        assert!(missing.is_empty());
        for item in items {
            assert!(item.attempts <= MAX_ATTEMPTS && !text(item).starts_with("poison"));
            let parcel = Parcel::from_cbor(&item.parcel).unwrap();
            let header = parcel.header();
            let line = (self.agent(&header.from), reader, header.thread.clone());
            self.done.entry(line).or_default().push(header.seq);
        }
    }

    /// Whatever is due now.
    fn turn(&mut self) {
        for host in 0..2 {
            if self.is_up(host) {
                self.consume(host);
            }
        }
        let (late, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.late).into_iter().partition(|(at, _, _)| *at <= self.now);
        self.late = rest;
        for (_, to, parcel) in late {
            if self.is_up(host_of(to))
                && !String::from_utf8_lossy(&parcel.to_cbor().unwrap()).contains("poison")
            {
                let _ = self.receive(to, &parcel);
            }
        }
        for agent in 0..2 * AGENTS {
            let due = self.agents[agent].comms.next_due().unwrap();
            if self.is_up(host_of(agent)) && due.is_some_and(|at| at <= self.now) {
                self.alarm(agent);
            }
            if self.is_up(host_of(agent)) {
                self.work(agent);
            }
        }
    }

    /// When anything is due next.
    fn next(&self) -> Option<u64> {
        let letters = self.letters.iter().flatten().map(|letter| letter.at);
        let late = self.late.iter().map(|(at, _, _)| *at);
        let alarms = self.agents.iter().filter_map(|agent| agent.comms.next_due().unwrap());
        letters.chain(late).chain(alarms).min()
    }
}

#[test]
fn sim_ten_thousand_messages_between_two_hosts_come_once_and_in_order() {
    let mut sim = Sim::new(20_261_128);
    let mut sent: BTreeMap<Line, Vec<u32>> = BTreeMap::new();
    let (mut n, mut looked) = (0, 0);
    while n < MESSAGES {
        sim.now += sim.random.next() % (2 * SENDING / 10_000);
        if let Some((line, seq)) = sim.send(n) {
            n += 1;
            // What is poison is not to come.
            sent.entry(line).or_default().extend((seq > 0).then_some(seq));
        }
        if sim.now >= looked + LOOK {
            looked = sim.now;
            sim.turn();
        }
    }
    let rough_until = sim.now + 10 * 60 * SECOND;
    let wanted: usize = sent.values().map(Vec::len).sum();
    let mut all_done_at = None;
    while let Some(next) = sim.next() {
        sim.now = next.max(sim.now + LOOK);
        sim.rough = sim.now < rough_until;
        sim.turn();
        if all_done_at.is_none() && sim.done.values().map(Vec::len).sum::<usize>() >= wanted {
            all_done_at = Some(sim.now);
        }
    }
    // What a lease or a gap has kept.
    for _ in 0..60 {
        sim.now += 10 * SECOND;
        sim.turn();
    }
    for (line, seqs) in &sent {
        // None lost, none twice, in order.
        assert_eq!(sim.done.get(line), Some(seqs), "{line:?}");
    }
    let mut states: BTreeMap<&str, usize> = BTreeMap::new();
    let mut known: BTreeSet<Tid> = BTreeSet::new();
    for agent in &sim.agents {
        assert_eq!(agent.comms.next_due().unwrap(), None);
        for mut row in agent.store.query("SELECT id FROM sent", &[]).unwrap() {
            let id = Tid::parse(&row.text(0).unwrap()).unwrap();
            known.insert(id);
            for receipt in agent.comms.sent(id).unwrap().unwrap().receipts {
                *states.entry(receipt.state.name()).or_default() += 1;
            }
        }
    }
    // Every message has a receipt that says how it ended.
    assert_eq!(states, BTreeMap::from([("delivered", MESSAGES - POISON), ("failed", POISON)]));
    let minutes = |at: u64| at.saturating_sub(NOW) / (60 * SECOND);
    println!("all done after {} min; {:?}", minutes(all_done_at.unwrap_or(sim.now)), sim.count);
    // What is poison has held up nobody, though it was tried for days: the last that came is one whose host was away for long.
    assert!(all_done_at.is_some_and(|at| at < rough_until + 2 * 60 * 60 * SECOND));
    let Count { kills, lost_answers, late, refused_tickets, lost_tickets, repeated_tickets, .. } = sim.count;
    let Count { broken_storage, repeats, .. } = sim.count;
    let rough =
        [kills, lost_answers, late, refused_tickets, lost_tickets, repeated_tickets, broken_storage, repeats];
    assert!(rough.iter().all(|count| *count >= 5), "{:?}", sim.count);
}
