//! A host without a Worker: real accounts over SQLite, a real directory, a PLC directory that verifies what it is given,
//! a network of canned answers, and a fault wherever one is wanted.

pub mod agency;
pub mod agents;
pub mod alice;
pub mod ask;
pub mod bucket;
mod configured;
mod ending;
mod hands;
pub mod hosts;
pub mod memories;
mod model;
pub mod network;
pub mod operator;
mod postbox;
mod public;
pub mod queue;
mod shelf;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::rc::Rc;

use murmuration_account::Account;
use murmuration_bridge::CfDid;
use murmuration_bridge::resolver::Cache;
use murmuration_data::cid_of_raw;
use murmuration_firehose::{Event, Frame, Seq, frame};
use murmuration_lexicons::Catalog;
use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Clock, Embedder, run_script};
use murmuration_syntax::{Did, Handle};
use murmuration_xrpc::agent::ending::finish;
use murmuration_xrpc::agent::internal::{self, AccountSeed, InternalCall};
use murmuration_xrpc::agent::memory::share_with;
use murmuration_xrpc::agent::{self, AgentHandler, Context, Reply};
use murmuration_xrpc::host::directory::{Entry, MIGRATIONS, Reservation, Status};
use murmuration_xrpc::host::{
    AgentAnswer, Agents, DeliveryQueue, Directory, Host, PageRequest, Residents, Task,
};
use murmuration_xrpc::http::{Body, Request, Response, Verb};
use murmuration_xrpc::limits::Counter;
use murmuration_xrpc::method::{Method, Place, Route};
use murmuration_xrpc::public::IndexCall;
use murmuration_xrpc::{Config, XrpcError, auth, table};
use serde_json::{Value, json};

mod run;

pub use ask::request;
pub use configured::config;
pub use hands::{Counts, Hands};
use model::Models;
pub use network::Network;
pub use run::block_on;
pub use shelf::{Shelf, everything_in};

pub const PLC: &str = "https://plc.example";
pub const MOD_SERVICE: &str = "did:web:mod.example.com";
const START_MICROS: u64 = 1_795_000_000_000_000;

/// Where a fault strikes: at one call of the outside, counted over directory, network and objects together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// The call is not made.
    Refused(usize),
    /// The call is made and its answer is lost.
    Lost(usize),
    /// The Worker's whole outside is gone from here on.
    Dead(usize),
}

#[derive(Default)]
pub struct Faults {
    pub planned: Cell<Option<Fault>>,
    pub calls: Cell<usize>,
}

impl Faults {
    /// Makes a call under the plan: `None` when its answer does not arrive.
    fn call<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let number = self.calls.replace(self.calls.get() + 1);
        match self.planned.get() {
            Some(Fault::Refused(at)) if at == number => None,
            Some(Fault::Dead(at)) if at <= number => None,
            Some(Fault::Lost(at)) if at == number => {
                act();
                None
            }
            _ => Some(act()),
        }
    }
}

/// The accounts' objects.
pub struct Objects {
    pub accounts: RefCell<BTreeMap<Did, Account>>,
    pub called: RefCell<Vec<(Did, &'static str)>>,
    pub broken: RefCell<BTreeSet<Did>>,
    /// Accounts are made, but the answer is a fault; and no object can be emptied.
    pub stubborn: Cell<bool>,
    /// No object changes who its account is.
    pub deaf: Cell<bool>,
    /// The events that a relay has taken.
    pub sent: RefCell<BTreeMap<Did, Vec<Event>>>,
    /// What the relay answers to who has it seal anew, the last first.
    pub webhooks: RefCell<Vec<murmuration_xrpc::host::reseal::Resealed>>,
    pub outside: ending::Outside,
    /// What memories have in the blob storage.
    pub bucket: bucket::Bucket,
    pub stores: RefCell<BTreeMap<Did, Rc<SqliteStore>>>,
    /// What makes vectors of texts, if a test wants that.
    pub embedder: Box<dyn Fn() -> Option<Rc<dyn Embedder>>>,
    /// What is public on the network.
    pub public: public::Public,
    shelf: Rc<Shelf>,
    config: Rc<Config>,
    clock: Rc<Hands>,
    network: Rc<Network>,
    faults: Rc<Faults>,
}

impl Objects {
    /// Every value of every row that the accounts have stored, as bytes.
    fn everything(&self) -> Vec<Vec<u8>> {
        self.stores.borrow().values().flat_map(|store| everything_in(store)).collect()
    }

    /// Loses an object's memory. Its alarm says that events may be unsent.
    pub fn crash(&self, did: &Did) {
        if let Some(account) = self.accounts.borrow_mut().get_mut(did) {
            *account = Account::new(self.stores.borrow()[did].clone(), self.config.kek.clone(), false);
        }
    }

    /// What the object does when it finds that its account was deleted: after the call, and by its alarm.
    pub fn end(&self, did: &Did) -> Result<(), XrpcError> {
        let (outcome, wiped) = {
            let accounts = self.accounts.borrow();
            let Some(account) = accounts.get(did) else { return Ok(()) };
            let (outside, bucket) = (&self.outside, &self.bucket);
            let left = ending::Left { outside, bucket, account, wiped: Cell::new(false) };
            (block_on(finish(account, Directory::new(&*self.shelf), &left)), left.wiped.get())
        };
        if wiped {
            self.accounts.borrow_mut().remove(did);
        }
        outcome
    }

    pub fn store(&self, did: &Did) -> Rc<SqliteStore> {
        self.stores.borrow()[did].clone()
    }

    pub fn has(&self, did: &Did) -> bool {
        self.accounts.borrow().get(did).is_some_and(|account| account.profile().is_ok())
    }

    fn context<'a>(&'a self, account: &'a Account) -> Context<'a> {
        Context {
            account,
            config: &self.config,
            catalog: Catalog::builtin(),
            clock: &*self.clock,
            entropy: &*self.clock,
            embedder: &*self.embedder,
            readers: &[],
        }
    }

    fn answer(&self, did: &Did, call: InternalCall) -> AgentAnswer {
        let name = match call {
            InternalCall::CreateAccount(_) => "create",
            InternalCall::Destroy => "destroy",
            InternalCall::CreateSession { .. } => "session",
            InternalCall::Describe { .. } => "describe",
            InternalCall::Identity(_) => "identity",
            InternalCall::Mail(_) => "mail",
            InternalCall::Operator(_) => "operator",
            InternalCall::Session(_) => "standing",
            InternalCall::Proxy(_) => "proxy",
            InternalCall::Comms(_) => "comms",
            InternalCall::Handoff(_) => "handoff",
            InternalCall::Ingest(_) => "ingest",
            InternalCall::Memory(_) => "memory",
            InternalCall::Agency(_) => "agency",
            _ => panic!("the host does not make this call"),
        };
        self.called.borrow_mut().push((did.clone(), name));
        let fault =
            || AgentAnswer { status: 500, body: br#"{"error":"InternalServerError","message":"x"}"#.into() };
        if self.broken.borrow().contains(did)
            || (name == "destroy" && self.stubborn.get())
            || (name == "identity" && self.deaf.get())
        {
            return fault();
        }
        if name == "create" && did.method() == "plc" {
            assert!(
                self.network.state(did).is_some(),
                "an account is announced before its DID is registered"
            );
        }
        if name == "destroy" {
            self.accounts.borrow_mut().remove(did);
            return AgentAnswer { status: 200, body: Vec::new() };
        }
        let mut accounts = self.accounts.borrow_mut();
        let account = accounts.entry(did.clone()).or_insert_with(|| {
            let store = Rc::new(SqliteStore::open().unwrap());
            self.stores.borrow_mut().insert(did.clone(), store.clone());
            Account::new(store, self.config.kek.clone(), true)
        });
        let response = match call {
            InternalCall::Memory(_) | InternalCall::Ingest(_) => {
                let text = serde_json::to_vec(&call).unwrap();
                let call = || serde_json::from_slice(&text).unwrap();
                self.run(account, |clock| {
                    internal::answer(&Context { clock, ..self.context(account) }, call())
                })
            }
            call => internal::answer(&self.context(account), call),
        };
        let response = response.unwrap_or_else(Response::from);
        if name == "create" && self.stubborn.get() {
            return fault();
        }
        let body = match response.body {
            Body::Json(body) => body.into_bytes(),
            Body::Empty => Vec::new(),
            _ => panic!("objects answer in JSON"),
        };
        AgentAnswer { status: response.status, body }
    }
}

impl Agents for Objects {
    fn call<'a>(&'a self, did: &'a Did, call: InternalCall) -> Task<'a, Result<AgentAnswer, XrpcError>> {
        // Through JSON, as through a stub, where it goes through JavaScript.
        let json = serde_json::to_value(&call).unwrap();
        assert!(ask::is_exact(&json), "a number that JavaScript rounds: {json}");
        let call = serde_json::from_str(&json.to_string()).unwrap();
        let answer = self.faults.call(|| self.answer(did, call));
        // Behind the call, whether its answer arrives or not. If it fails, the alarm does it.
        let _ = self.end(did);
        Box::pin(ready(answer.ok_or_else(|| XrpcError::internal("the object is gone"))))
    }

    fn reseal_webhooks(&self) -> Task<'_, Result<AgentAnswer, XrpcError>> {
        let found = self.webhooks.borrow_mut().pop().unwrap_or_default();
        let body = serde_json::to_vec(&found).unwrap();
        Box::pin(ready(Ok(AgentAnswer { status: 200, body })))
    }

    fn ask_index<'a>(&'a self, call: &'a IndexCall) -> Task<'a, Result<AgentAnswer, XrpcError>> {
        Box::pin(ready(
            self.faults.call(|| self.public.answer(self, call)).ok_or_else(|| XrpcError::internal("gone")),
        ))
    }

    fn alias(&self, did: &Did) -> Result<CfDid, XrpcError> {
        let id = data_encoding::HEXLOWER.encode(cid_of_raw(did.as_str().as_bytes()).hash().digest());
        CfDid::of_object(&id).map_err(XrpcError::internal)
    }
}

pub struct World {
    pub counter: Option<Counts>,
    pub config: Rc<Config>,
    pub shelf: Rc<Shelf>,
    pub network: Rc<Network>,
    pub objects: Objects,
    pub postbox: postbox::Postbox,
    pub queue: queue::Queue,
    /// A host without a queue.
    pub no_queue: Cell<bool>,
    /// A host without mail.
    pub no_mail: Cell<bool>,
    pub clock: Rc<Hands>,
    pub faults: Rc<Faults>,
    cache: Cache,
    residents: Residents,
    pub models: Models,
}

impl World {
    pub fn new() -> Self {
        Self::with(&[])
    }

    /// A host with more variables than it needs.
    pub fn with(variables: &[(&str, &str)]) -> Self {
        let faults = Rc::new(Faults::default());
        let store = SqliteStore::open().unwrap();
        for (_, sql) in MIGRATIONS {
            run_script(&store, sql).unwrap();
        }
        let config = Rc::new(config(variables).unwrap());
        let clock = Rc::new(Hands { micros: Cell::new(START_MICROS), drawn: Cell::new(0) });
        let network = Rc::new(Network {
            log: RefCell::default(),
            pages: RefCell::default(),
            asked: RefCell::default(),
            plc_is_away: Cell::new(false),
            plc_refuses: Cell::new(false),
            peer: RefCell::default(),
            plc_is_old: Cell::new(false),
            faults: faults.clone(),
        });
        let shelf = Rc::new(Shelf { store, faults: faults.clone() });
        let objects = Objects {
            stores: RefCell::default(),
            embedder: Box::new(agent::no_embedder),
            webhooks: RefCell::default(),
            outside: ending::Outside::new(faults.clone()),
            public: public::Public::default(),
            bucket: bucket::Bucket::default(),
            shelf: shelf.clone(),
            accounts: RefCell::default(),
            called: RefCell::default(),
            broken: RefCell::default(),
            stubborn: Cell::new(false),
            deaf: Cell::new(false),
            sent: RefCell::default(),
            config: config.clone(),
            clock: clock.clone(),
            network: network.clone(),
            faults: faults.clone(),
        };
        let postbox = postbox::Postbox { faults: faults.clone(), ..postbox::Postbox::default() };
        let queue = queue::Queue {
            tickets: RefCell::default(),
            refuses: Cell::new(false),
            clock: clock.clone(),
            faults: faults.clone(),
        };
        let no_mail = Cell::new(false);
        Self {
            counter: None,
            config,
            shelf,
            network,
            objects,
            postbox,
            queue,
            no_queue: Cell::new(false),
            no_mail,
            clock,
            faults,
            cache: Cache::default(),
            residents: Residents::default(),
            models: Models::default(),
        }
    }

    pub fn host(&self) -> Host<'_> {
        Host {
            config: &self.config,
            catalog: Catalog::builtin(),
            directory: Directory::new(&*self.shelf),
            agents: &self.objects,
            outbound: &*self.network,
            queue: (!self.no_queue.get()).then_some(&self.queue).map(|queue| -> &dyn DeliveryQueue { queue }),
            mailer: (!self.no_mail.get()).then_some(&self.postbox),
            models: Some(&self.models),
            counter: self.counter.as_ref().map(|counter| -> &dyn Counter { counter }),
            cache: &self.cache,
            residents: &self.residents,
            clock: &*self.clock,
            entropy: &*self.clock,
        }
    }

    /// Every value of every row that this host has stored, as bytes.
    pub fn everything(&self) -> Vec<Vec<u8>> {
        [everything_in(&self.shelf.store), self.objects.everything()].concat()
    }

    /// Every event of an account, oldest first.
    pub fn events(&self, did: &Did) -> Vec<Event> {
        let accounts = self.objects.accounts.borrow();
        let (account, mut sent) = (&accounts[did], self.objects.sent.borrow_mut());
        let sent = sent.entry(did.clone()).or_default();
        while let Some(push) = account.next_push().unwrap() {
            for draft in &push.drafts {
                match Frame::decode(&frame(draft, Seq::FIRST).unwrap()).unwrap() {
                    Frame::Event { event, .. } => sent.push(event),
                    other => panic!("{other:?}"),
                }
            }
            account.events_taken(push.ord + u64::try_from(push.drafts.len()).unwrap()).unwrap();
        }
        sent.clone()
    }

    pub fn now_millis(&self) -> u64 {
        self.clock.micros.get() / 1_000
    }

    /// Turns on the rate limits, for requests from `client`.
    pub fn come_from(&mut self, client: &str) {
        let windows = self.counter.take().map(|counts| counts.windows).unwrap_or_default();
        self.counter = Some(Counts { client: client.into(), clock: self.clock.clone(), windows });
    }

    /// Puts a page of JSON on the network.
    pub fn serve(&self, url: &str, status: u16, body: &Value) {
        self.network.pages.borrow_mut().insert(url.into(), (status, body.to_string()));
    }

    pub fn pass_minutes(&self, minutes: u64) {
        self.clock.micros.set(self.clock.micros.get() + minutes * 60_000_000);
    }

    pub fn send(&self, request: &Request) -> Result<Response, XrpcError> {
        let method = table::find(&request.nsid).unwrap();
        match method.place {
            Place::Host(run) => block_on(self.host().answer(method, run, request)),
            Place::Agent { route: Route::Subject, run } => self.send_to_object(method, run, request),
            _ => panic!("{} goes another way", request.nsid),
        }
    }

    /// Sends a request to the object of whom its token names.
    fn send_to_object(
        &self,
        method: &Method,
        run: AgentHandler,
        request: &Request,
    ) -> Result<Response, XrpcError> {
        let token = auth::bearer(request.authorization.as_deref())?;
        let did = did(&ask::claims(token)["sub"]);
        let accounts = self.objects.accounts.borrow();
        let account = &accounts[&did];
        let to = share_with(&self.objects.context(account), method, request)?;
        drop(accounts);
        let readers = block_on(self.host().share_with(to))?;
        let accounts = self.objects.accounts.borrow();
        let account = &accounts[&did];
        let answer = |clock: &dyn Clock| {
            let context = Context { clock, readers: &readers, ..self.objects.context(account) };
            agent::answer(&context, method, run, request)
        };
        match self.objects.run(account, answer)? {
            Reply::Now(response) | Reply::Changed(response) => Ok(response),
            Reply::Sent(response, notices) => {
                drop(accounts);
                block_on(self.host().tell_of_shares(&did, notices))?;
                Ok(response)
            }
            Reply::AfterWrite(writes, finish) => {
                finish(accounts[&did].write(&[writes], self.clock.now_micros()).remove(0)?)
            }
        }
    }

    /// Status and body of a procedure.
    pub fn post(&self, nsid: &str, input: &Value) -> (u16, Value) {
        self.post_as(None, nsid, input)
    }

    /// The same, for the bearer of a token. Null is no body.
    pub fn post_as(&self, token: Option<&str>, nsid: &str, input: &Value) -> (u16, Value) {
        plain(self.send(&Request {
            verb: Verb::Post,
            nsid: nsid.into(),
            query: Vec::new(),
            authorization: token.map(|token| format!("Bearer {token}")),
            content_type: (!input.is_null()).then(|| "application/json".into()),
            body: if input.is_null() { Vec::new() } else { input.to_string().into_bytes() },
        }))
    }

    /// Status and body of a procedure without an input, for the bearer of a token.
    pub fn ask_as(&self, token: Option<&str>, nsid: &str) -> (u16, Value) {
        plain(self.send(&Request {
            verb: Verb::Post,
            nsid: nsid.into(),
            query: Vec::new(),
            authorization: token.map(|token| format!("Bearer {token}")),
            content_type: None,
            body: Vec::new(),
        }))
    }

    /// Status and body of a query.
    pub fn get(&self, nsid: &str, query: &[(&str, &str)]) -> (u16, Value) {
        self.get_as(None, nsid, query)
    }

    /// The same, for the bearer of a token.
    pub fn get_as(&self, token: Option<&str>, nsid: &str, query: &[(&str, &str)]) -> (u16, Value) {
        plain(self.send(&Request {
            verb: Verb::Get,
            nsid: nsid.into(),
            query: query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            authorization: token.map(|token| format!("Bearer {token}")),
            content_type: None,
            body: Vec::new(),
        }))
    }

    pub fn create(&self, name: &str) -> (u16, Value) {
        self.create_with(name, json!({}))
    }

    pub fn create_with(&self, name: &str, changes: Value) -> (u16, Value) {
        let mut input = json!({
            "handle": format!("{name}.test"),
            "email": format!("{name}@example.com"),
            "password": format!("{name}'s password"),
        });
        for (field, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => input.as_object_mut().unwrap().remove(field),
                value => input.as_object_mut().unwrap().insert(field.clone(), value.clone()),
            };
        }
        self.post("com.atproto.server.createAccount", &input)
    }

    /// Hosts an account whose DID is the did:web of a host name.
    pub fn create_web(&self, host: &str, handle: &str) -> (Did, String) {
        let did = Did::parse(&format!("did:web:{host}")).unwrap();
        let handle: Handle = handle.parse().unwrap();
        let directory = Directory::new(&self.shelf.store);
        let entry = Entry {
            did: did.clone(),
            handle: handle.clone(),
            email: None,
            status: Status::Reserved,
            created_at_millis: 0,
            change: None,
        };
        assert_eq!(block_on(directory.reserve(&entry)).unwrap(), Reservation::Made);
        let signing_key = "02".repeat(32);
        let seed = AccountSeed {
            did: did.clone(),
            handle,
            email: None,
            password: "x".into(),
            signing_key,
            deactivated: false,
        };
        let answer = block_on(self.objects.call(&did, InternalCall::CreateAccount(seed))).unwrap();
        assert_eq!(answer.status, 200);
        assert!(block_on(directory.activate(&did)).unwrap());
        let session: Value = serde_json::from_slice(&answer.body).unwrap();
        (did, session["accessJwt"].as_str().unwrap().to_owned())
    }

    /// What is at a path, under a name: status, media type or target, and body.
    pub fn page(&self, host: Option<&str>, path: &str) -> (u16, String, String) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let query: Vec<(String, String)> = query
            .split_once('=')
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let asked = PageRequest { verb: Verb::Get, path, host, query: &query };
        let response = block_on(self.host().page(&asked)).unwrap_or_else(Response::from);
        let target = response.headers.iter().find(|(name, _)| *name == "location").map(|(_, to)| to.clone());
        let (kind, body) = match response.body {
            Body::Json(text) => ("application/json", text),
            Body::Bytes(kind, bytes) => (kind, String::from_utf8(bytes).unwrap()),
            _ => ("", String::new()),
        };
        (response.status, target.unwrap_or_else(|| kind.to_owned()), body)
    }

    pub fn login(&self, identifier: &str, password: &str) -> (u16, Value) {
        let input = json!({ "identifier": identifier, "password": password });
        self.post("com.atproto.server.createSession", &input)
    }
}

pub fn plain(answer: Result<Response, XrpcError>) -> (u16, Value) {
    let response = answer.unwrap_or_else(Response::from);
    let body = match response.body {
        Body::Json(text) => serde_json::from_str(&text).unwrap(),
        Body::Bytes(_, bytes) => String::from_utf8(bytes).map_or(Value::Null, Value::String),
        _ => Value::Null,
    };
    (response.status, body)
}

pub fn did(value: &Value) -> Did {
    Did::parse(value.as_str().unwrap()).unwrap()
}
