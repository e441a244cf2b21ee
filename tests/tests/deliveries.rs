//! Hundreds of messages, and at length ten thousand, both ways between two hosts that are killed, over links that refuse, lose,
//! repeat and reorder; one of the hosts has a queue that answers everything with a refusal.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use murmuration_syntax::Tid;
use murmuration_tests::{Account, Client, Dice, Reply, Setup, StandIn, World, scaled};
use serde_json::json;
use xtask::config::Queue;

/// Messages, unless `SOAK_MESSAGES` says otherwise, and messages for each kill of a host.
const MESSAGES: u64 = 240;
const EACH_KILL: u64 = 60;
/// Agents of a host, each of which writes to each of the other: of one sender a reader takes 120 messages a minute.
const AGENTS: usize = 2;
const MANY_AGENTS: usize = 6;
/// Messages of a line that the few agents are enough for.
const LINE: u64 = 120;
/// How much later a request comes that others overtake; longer than the sender waits for an answer.
const LATE: Duration = Duration::from_secs(12);
/// Within which all must have come: retries wait for seconds, those whose sender has died for twenty, and a line of a hundred that only
/// the alarm brings, of which a sixth fails and each look may wait ten seconds for an answer that is late, takes minutes.
const PATIENCE: Duration = Duration::from_secs(600);

/// What stands between the hosts: it passes requests on to a port, and does to deliveries what the dice say.
struct Link {
    url: String,
    target: Arc<AtomicU16>,
    fair: Arc<AtomicBool>,
    struck: Arc<AtomicU64>,
}

impl Link {
    fn start(seed: u64) -> Self {
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).unwrap();
        let url = format!("http://localhost:{}", listener.local_addr().unwrap().port());
        let link = Self { url, target: Arc::default(), fair: Arc::default(), struck: Arc::default() };
        let (target, fair, struck) = (link.target.clone(), link.fair.clone(), link.struck.clone());
        let dice = Arc::new(Mutex::new(Dice::new(seed)));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (target, fair, struck, dice) =
                    (target.load(Ordering::Relaxed), fair.clone(), struck.clone(), dice.clone());
                thread::spawn(move || {
                    let what =
                        if fair.load(Ordering::Relaxed) { u64::MAX } else { dice.lock().unwrap().roll(40) };
                    let _ = pass(stream, target, what, &struck);
                });
            }
        });
        link
    }
}

/// Passes one request on, or not.
fn pass(mut client: TcpStream, target: u16, what: u64, struck: &AtomicU64) -> std::io::Result<()> {
    let request = message(&mut client)?;
    let what = if request.windows(DELIVER.len()).any(|bytes| bytes == DELIVER) { what } else { u64::MAX };
    let refuse = |mut client: TcpStream, status: &str| {
        write!(client, "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    };
    struck.fetch_add(u64::from(what < 7), Ordering::Relaxed);
    match what {
        0 => return refuse(client, "429 X\r\nretry-after: 1"),
        1 => return refuse(client, "500 X"),
        2 => return refuse(client, "503 X"),
        3 => return Ok(()),
        // It comes when others behind it, and its own retry, have come before.
        6 => thread::sleep(LATE),
        _ => {}
    }
    let forward = || -> std::io::Result<Vec<u8>> {
        let mut host = TcpStream::connect((Ipv4Addr::LOCALHOST, target))?;
        host.write_all(&request)?;
        message(&mut host)
    };
    let answer = forward()?;
    match what {
        // It has done what it was asked, and nobody hears of it.
        4 => return Ok(()),
        // It is asked twice.
        5 => drop(forward()?),
        _ => {}
    }
    // One request a connection: so none is lost to one that is about to end.
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(answer.len());
    client.write_all(&[&answer[..end], b"\r\nconnection: close", &answer[end..]].concat())
}

const DELIVER: &[u8] = b"/xrpc/agent.comms.deliver";

/// A whole HTTP/1.1 message: its head, and its body by `content-length` or in chunks.
fn message(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 * 1024]);
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return if bytes.is_empty() { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) };
        }
        bytes.extend_from_slice(&buffer[..count]);
        let Some(end) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let header = |name: &str| {
            head.lines().find_map(|line| line.strip_prefix(name).map(str::trim).map(str::to_owned))
        };
        let whole = match (header("content-length:"), header("transfer-encoding:")) {
            (Some(length), _) => bytes.len() >= end + 4 + length.parse::<usize>().unwrap(),
            (None, Some(_)) => bytes.ends_with(b"0\r\n\r\n"),
            (None, None) => true,
        };
        if whole {
            return Ok(bytes);
        }
    }
}

#[derive(Clone)]
struct Agent {
    did: String,
    client: Client,
}

impl Agent {
    fn new(world: &World, name: &str) -> Self {
        let Account { did, access, .. } = world.account(name);
        Self { did, client: world.client().with_token(&access) }
    }

    /// Lets the messages of another agent in.
    fn allow(&self, other: &Self) {
        let record = json!({
            "$type": "agent.comms.contact", "subject": other.did, "status": "allowed",
            "createdAt": "2026-11-28T06:00:00.000Z",
        });
        let body = json!({ "repo": self.did, "collection": "agent.comms.contact", "rkey": other.did, "record": record });
        let _ = self.client.post("com.atproto.repo.putRecord", &body).ok();
    }

    /// Sends a numbered message in a thread, again and again until its own host says that it has it.
    fn tell(&self, to: &Self, thread: &str, n: u64) {
        let id = id(n);
        let content = json!({ "kind": "text", "text": n.to_string() });
        let record = json!({ "$type": "agent.comms.message", "content": content, "thread": thread });
        let body = json!({ "record": record, "to": [to.did], "id": id });
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "{n} could not be sent");
            match self.client.try_post("agent.comms.sendMessage", &body) {
                Ok(answer) if answer.status == 200 => return,
                // The reader's host does not say which keys it publishes.
                Ok(answer) => assert!(answer.status >= 500, "{}", answer.text()),
                Err(_) => {}
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// How it stands with a message.
    fn status(&self, n: u64) -> String {
        let id = id(n);
        self.client.get("agent.comms.getDeliveryStatus", &[("id", &id)]).text()
    }

    /// Takes what there is, as long as somebody answers. `ended` has what its host has said that it knows to be done.
    fn read(&self, done: &Mutex<BTreeMap<String, Vec<u64>>>, ended: &mut BTreeSet<u64>) {
        let claim = json!({ "max": 50, "leaseSeconds": 5 });
        let Ok(answer) = self.client.try_post("agent.comms.claimMessages", &claim) else { return };
        let Some(items) = answer.json()["items"].as_array().cloned() else { return };
        let (mut results, mut taken) = (Vec::new(), Vec::new());
        for item in &items {
            let header = &item["parcel"]["header"];
            let n: u64 = item["record"]["content"]["text"].as_str().unwrap().parse().unwrap();
            let line = format!("{} {}", header["from"].as_str().unwrap(), header["thread"].as_str().unwrap());
            let mut done = done.lock().unwrap();
            let read = done.entry(format!("{line} {}", self.did)).or_default();
            // A lease whose end nobody has answered may come again, and nothing else.
            assert!(!ended.contains(&n), "{n} is done, and came again");
            if !read.contains(&n) {
                read.push(n);
            }
            taken.push(n);
            results.push(json!({ "leaseId": item["leaseId"], "outcome": "done" }));
        }
        if !results.is_empty() {
            let body = json!({ "results": results });
            if let Ok(answer) = self.client.try_post("agent.comms.ackMessages", &body)
                && answer.status == 200
            {
                let missing = answer.json()["missing"].as_array().map_or(0, Vec::len);
                // A lease of five seconds may have run out in between: of those that are missing it is not said.
                if missing == 0 {
                    ended.extend(taken);
                }
            }
        }
    }
}

/// The name of a message by its number.
fn id(n: u64) -> String {
    Tid::from_parts(1_795_000_000_000_000 + n, 0).to_string()
}

#[test]
fn messages_between_two_hosts_under_kills_and_faults_come_once_and_in_order() {
    let messages = scaled("SOAK_MESSAGES", MESSAGES);
    let few = u64::try_from(2 * AGENTS * AGENTS).unwrap() * LINE;
    let count = if messages > few { MANY_AGENTS } else { AGENTS };
    let links = [Link::start(1), Link::start(2)];
    let mut dice = Dice::new(173_205_080);
    // A queue that refuses everything, each time otherwise.
    let refused = Arc::new(AtomicU64::new(0));
    let refusals = refused.clone();
    let queue = StandIn::start(move |_| {
        let n = refusals.fetch_add(1, Ordering::Relaxed);
        Reply::json([429, 413, 500, 503][usize::try_from(n % 4).unwrap()], &json!("no"))
    });
    let here = Setup::new().variable("PUBLIC_URL", &links[0].url).start();
    let at = queue.url().replace("http://localhost", "127.0.0.1");
    let there = Setup::new().plc_of(&here).variable("PUBLIC_URL", &links[1].url).queue(Queue::At(at)).start();
    let mut worlds = [here, there];
    for (link, world) in links.iter().zip(&worlds) {
        link.target.store(world.port(), Ordering::Relaxed);
        link.fair.store(true, Ordering::Relaxed);
    }
    let agents: Vec<Vec<Agent>> = worlds
        .iter()
        .zip(["here", "there"])
        .map(|(world, host)| (0..count).map(|n| Agent::new(world, &format!("{host}{n}"))).collect())
        .collect();
    for (own, others) in [(0, 1), (1, 0)] {
        for agent in &agents[own] {
            agents[others].iter().for_each(|other| agent.allow(other));
        }
        // Nobody else makes an agent's first keys.
        for agent in &agents[own] {
            let _ = agent.client.post("agent.identity.rotateKeys", &json!({})).ok();
        }
    }
    links.iter().for_each(|link| link.fair.store(false, Ordering::Relaxed));

    let started = Instant::now();
    let done = Mutex::new(BTreeMap::new());
    let (sending, reading) = (AtomicU64::new(0), AtomicBool::new(true));
    let lines: Vec<(Agent, Agent, String)> = (0..2)
        .flat_map(|own| {
            let agents = &agents;
            (0..count).flat_map(move |from| {
                (0..count).map(move |to| {
                    (agents[own][from].clone(), agents[1 - own][to].clone(), format!("t{own}{from}{to}"))
                })
            })
        })
        .collect();
    let each = messages.div_ceil(u64::try_from(lines.len()).unwrap());
    let mut kills = 0;
    thread::scope(|scope| {
        for agent in agents.iter().flatten() {
            let (done, reading) = (&done, &reading);
            scope.spawn(move || {
                let mut ended = BTreeSet::new();
                while reading.load(Ordering::Relaxed) {
                    agent.read(done, &mut ended);
                    thread::sleep(Duration::from_millis(100));
                }
            });
        }
        let senders: Vec<_> = lines
            .iter()
            .zip(1_u64..)
            .map(|((from, to, thread), at)| {
                let sending = &sending;
                scope.spawn(move || {
                    for n in 0..each {
                        from.tell(to, thread, at * 1_000_000 + n);
                        sending.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let mut next = EACH_KILL / 2;
        while senders.iter().any(|sender| !sender.is_finished()) {
            if sending.load(Ordering::Relaxed) >= next {
                next += EACH_KILL;
                let world = &mut worlds[kills % 2];
                thread::sleep(Duration::from_millis(dice.roll(30)));
                world.kill_9();
                world.restart();
                kills += 1;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let all = || {
            let done = done.lock().unwrap();
            let read = |line: &String| done.get(line).map_or(0, Vec::len);
            done.keys().filter(|line| !line.contains(" keys ")).map(read).sum::<usize>()
        };
        let wanted = usize::try_from(each).unwrap() * lines.len();
        let deadline = Instant::now() + PATIENCE;
        while all() < wanted && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(50));
        }
        reading.store(false, Ordering::Relaxed);
    });

    let done = done.into_inner().unwrap();
    let mut stands = Vec::new();
    for ((from, to, thread), at) in lines.iter().zip(1_u64..) {
        let sent: Vec<u64> = (0..each).map(|n| at * 1_000_000 + n).collect();
        let read = done.get(&format!("{} {thread} {}", from.did, to.did)).cloned().unwrap_or_default();
        assert_eq!(read, sent[..read.len().min(sent.len())], "none lost, none twice, in order");
        stands.extend(sent.get(read.len()).map(|next| from.status(*next)));
    }
    assert!(stands.is_empty(), "after {PATIENCE:?} there wait {stands:#?}");
    for (_, to, thread) in &lines {
        // And what lies in the inbox says so, too.
        let seqs: Vec<u64> = places(to, thread);
        assert_eq!(seqs, (1..=each).collect::<Vec<_>>());
    }
    let struck: u64 = links.iter().map(|link| link.struck.load(Ordering::Relaxed)).sum();
    let refused = refused.load(Ordering::Relaxed);
    println!(
        "{} messages, {kills} kills, {struck} deliveries struck, {refused} tickets refused, in {:.0?}",
        each * u64::try_from(lines.len()).unwrap(),
        started.elapsed()
    );
    assert!(kills >= 2 && struck > messages / 20 && refused > 0, "{kills} {struck} {refused}");
}

/// The places of the messages of a thread in its reader's inbox.
fn places(reader: &Agent, thread: &str) -> Vec<u64> {
    let (mut seqs, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let mut query = vec![("thread", thread)];
        query.extend(cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let page = reader.client.get("agent.comms.getThread", &query).ok().json();
        assert_eq!(page["gaps"], json!([]));
        let items = page["items"].as_array().unwrap();
        seqs.extend(items.iter().map(|item| item["parcel"]["header"]["seq"].as_u64().unwrap()));
        cursor = page["cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            seqs.sort_unstable();
            return seqs;
        }
    }
}
