//! Two hosts that share a PLC directory, and an agent on each.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use murmuration_platform::OutboundRequest;
use murmuration_xrpc::token::Scope;
use serde_json::{Value, json};

use super::agents::Agent;
use super::network::Answer;
use super::{World, did};

/// How the host beyond answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weather {
    Fine,
    Away,
    /// It does what it is asked, and its answer is lost.
    Deaf,
    /// It answers nothing at all.
    Dead,
    /// It proves nothing: a byte of what it gives out as a proof is another.
    Forging,
    Status(u16, Option<u64>),
}

pub struct Hosts {
    pub here: World,
    pub there: Rc<World>,
    pub alice: Agent,
    pub bob: Agent,
    pub weather: Rc<Cell<Weather>>,
    /// What was delivered there, with its token.
    pub deliveries: Rc<RefCell<Vec<(String, Value)>>>,
}

impl Hosts {
    /// Alice some days later, with a token of that time.
    pub fn alice_later(&mut self, days: u64) {
        self.pass_minutes(days * 24 * 60);
        for (world, agent) in [(&self.here, &mut self.alice), (&*self.there, &mut self.bob)] {
            let header = world.bearer(agent.did.as_str(), Scope::Access);
            agent.token = header.strip_prefix("Bearer ").unwrap().to_owned();
        }
    }

    pub fn new() -> Self {
        let here = World::new();
        let there = Rc::new(World::with(&[
            ("PDS_HOSTNAME", "far.example"),
            ("PUBLIC_URL", "https://far.example"),
            ("USER_DOMAINS", ".far"),
        ]));
        let alice = here.agent("alice");
        let (code, answer) = there.create_with("bob", json!({ "handle": "bob.far" }));
        assert_eq!(code, 200, "{answer}");
        let token = answer["accessJwt"].as_str().unwrap().to_owned();
        let bob = Agent { did: did(&answer["did"]), token };
        let (weather, deliveries) = (Rc::new(Cell::new(Weather::Fine)), Rc::<RefCell<Vec<_>>>::default());
        let hosts = Self { here, there, alice, bob, weather, deliveries };
        hosts.share_the_directory();
        let (there, weather, deliveries) =
            (hosts.there.clone(), hosts.weather.clone(), hosts.deliveries.clone());
        *hosts.here.network.peer.borrow_mut() =
            Some(Box::new(move |request| answer_for(&there, &weather, &deliveries, request)));
        hosts
    }

    /// Both ask one PLC directory.
    pub fn share_the_directory(&self) {
        let logs = [&self.here, self.there.as_ref()].map(|world| world.network.log.borrow().clone());
        for world in [&self.here, self.there.as_ref()] {
            world
                .network
                .log
                .borrow_mut()
                .extend(logs.iter().flatten().map(|(did, log)| (did.clone(), log.clone())));
        }
    }

    pub fn bob_publishes_keys(&self) {
        self.there.rotate(&self.bob);
    }

    pub fn there_agent(&self, name: &str) -> Agent {
        let handle = format!("{name}.far");
        let (code, answer) = self.there.create_with(name, json!({ "handle": handle }));
        assert_eq!(code, 200, "{answer}");
        let agent =
            Agent { did: did(&answer["did"]), token: answer["accessJwt"].as_str().unwrap().to_owned() };
        self.there.rotate(&agent);
        self.share_the_directory();
        agent
    }

    pub fn pass_minutes(&self, minutes: u64) {
        self.here.pass_minutes(minutes);
        self.there.pass_minutes(minutes);
    }

    pub fn status(&self, id: &Value) -> Value {
        let (code, mut answer) =
            self.here.look(&self.alice, "getDeliveryStatus", &[("id", id.as_str().unwrap())]);
        assert_eq!(code, 200, "{answer}");
        answer["receipts"][0].take()
    }

    /// Delivers a parcel to Bob, by a token.
    pub fn deliver(&self, token: &str, parcel: &Value) -> (u16, String) {
        let header = format!("Bearer {token}");
        let input = json!({ "parcel": parcel });
        let (code, answer) = self.there.ask("agent.comms.deliver", Some(&header), &[], &input);
        let said = if code == 200 { &answer["state"] } else { &answer["error"] };
        (code, said.as_str().unwrap().to_owned())
    }

    /// A service token of an agent here.
    pub fn token(&self, agent: &Agent, aud: &str, lxm: &str) -> String {
        let query = [("aud", aud), ("lxm", lxm)];
        let (code, answer) =
            self.here.get_as(Some(&agent.token), "com.atproto.server.getServiceAuth", &query);
        assert_eq!(code, 200, "{answer}");
        answer["token"].as_str().unwrap().to_owned()
    }

    /// A parcel that Alice has signed for Bob and that has not come yet.
    pub fn parcel(&self, text: &str) -> Value {
        self.parcel_of(&self.alice, text)
    }

    /// The same of another.
    pub fn parcel_of(&self, sender: &Agent, text: &str) -> Value {
        self.weather.set(Weather::Away);
        self.here.tell(sender, &self.bob.did, text);
        self.weather.set(Weather::Fine);
        let (_, threads) = self.here.look(sender, "listThreads", &[]);
        let thread = threads["threads"][0]["id"].as_str().unwrap();
        let (_, page) = self.here.look(sender, "getThread", &[("thread", thread)]);
        page["items"].as_array().unwrap().last().unwrap()["parcel"].clone()
    }

    pub fn inbox(&self) -> String {
        format!("{}#agent_inbox", self.bob.did)
    }
}

fn answer_for(
    there: &World,
    weather: &Cell<Weather>,
    deliveries: &RefCell<Vec<(String, Value)>>,
    request: &OutboundRequest,
) -> Option<Answer> {
    let path = request.url.strip_prefix("https://far.example/xrpc/")?;
    let (nsid, query) = path.split_once('?').unwrap_or((path, ""));
    let delivery = nsid == "agent.comms.deliver";
    match weather.get() {
        Weather::Dead => return None,
        Weather::Away if delivery => return None,
        Weather::Status(status, after) if delivery => {
            let header = after.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
            return Some((status, header.into_iter().collect(), b"<html>".to_vec()));
        }
        _ => {}
    }
    let query: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    if nsid == "com.atproto.sync.getRecord" {
        let [(_, did), (_, collection), (_, rkey)] = query[..] else { panic!("{query:?}") };
        let (status, mut proof) = there.proof(did, collection, rkey);
        if weather.get() == Weather::Forging {
            let last = proof.len() - 1;
            proof[last] ^= 1;
        }
        return Some((status, Vec::new(), proof));
    }
    let header =
        request.headers.iter().find(|(name, _)| name == "authorization").map(|(_, value)| value.as_str());
    let input = if delivery { serde_json::from_slice(&request.body).unwrap() } else { Value::Null };
    if let Some(header) = header {
        deliveries.borrow_mut().push((header.to_owned(), input["parcel"].clone()));
    }
    let (status, body) = there.ask(nsid, header, &query, &input);
    (weather.get() != Weather::Deaf || !delivery).then(|| (status, Vec::new(), body.to_string().into_bytes()))
}
