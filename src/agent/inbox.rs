//! The sockets of the account's inbox: `agent.comms.subscribeInbox`.
//!
//! What is decided about readers and frames stands in `murmuration_xrpc::inbox`; here are the sockets, and the order in which calls
//! run. A call that runs in this object alone is done at once. One that reaches others waits for those before it on the same
//! socket, so that two messages that were sent one after the other are in this order in their thread.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use murmuration_relay::{Pump, SubscriberId};
use murmuration_xrpc::agent::{self, Reply};
use murmuration_xrpc::http as plain;
use murmuration_xrpc::inbox::{Ask, Called, Inbox, SUBPROTOCOL, answered};
use murmuration_xrpc::limits::Counter;
use murmuration_xrpc::method::Place;
use murmuration_xrpc::{XrpcError, events, host::Host};
use worker::{Response, WebSocket, WebSocketIncomingMessage, WebSocketPair};

use super::{Agent, call, outbox, outside};
use crate::clock::wait;
use crate::limits::{BYPASS_HEADER, Calls};
use crate::request::Incoming;
use crate::sockets::{self, OpenSockets};

/// WebSocket close code 1011: a fault of ours.
const CLOSE_FAULT: u16 = 1011;

/// Those who read the inbox, and what they have called.
#[derive(Default)]
pub(super) struct Readers {
    /// `None` until the object has looked for sockets that outlived its sleep.
    inbox: RefCell<Option<Inbox>>,
    sockets: OpenSockets,
    /// Calls that wait for others of their socket; a socket is here while one of its calls runs.
    calls: RefCell<BTreeMap<SubscriberId, VecDeque<Called>>>,
    pumping: Cell<bool>,
}

impl Readers {
    fn inbox(&self, agent: &Agent) -> RefMut<'_, Inbox> {
        RefMut::map(self.inbox.borrow_mut(), |slot| {
            slot.get_or_insert_with(|| {
                let mut inbox = Inbox::default();
                for (id, attachment) in self.sockets.wake(&agent.state) {
                    inbox.restore(id, &attachment);
                }
                inbox
            })
        })
    }

    /// Begins a call, unless another of its socket runs: then it waits.
    fn begin(&self, id: SubscriberId, called: Called) -> Option<Called> {
        let mut calls = self.calls.borrow_mut();
        if let Some(queue) = calls.get_mut(&id) {
            queue.push_back(called);
            return None;
        }
        calls.insert(id, VecDeque::new());
        Some(called)
    }

    /// The next call of a socket.
    fn next(&self, id: SubscriberId) -> Option<Called> {
        let mut calls = self.calls.borrow_mut();
        let next = calls.get_mut(&id).and_then(VecDeque::pop_front);
        if next.is_none() {
            calls.remove(&id);
        }
        next
    }

    /// When the first of them must end, or be gone on with; microseconds since the Unix epoch.
    pub(super) fn due(&self, agent: &Agent) -> Option<u64> {
        let inbox = self.inbox(agent);
        // A replay that an eviction has interrupted.
        let resume = inbox.is_behind().then(|| agent.now() + RESUME_MICROS);
        inbox.next_end().into_iter().chain(resume).min()
    }
}

/// Tells readers what has happened, and ends the streams of those who may not read any more. To be called in the turn of whatever
/// may have made it so, before anything is awaited.
pub(super) fn tend(agent: &Rc<Agent>) {
    let Some(awake) = agent.awake.get() else { return };
    let told = agent.readers.inbox(agent).tend(&call::context(agent, awake), &agent.readers.sockets);
    if let Err(error) = told {
        worker::console_error!("inbox: {error}");
    }
    start_pump(agent);
}

/// Opens a socket.
pub(super) async fn subscribe(agent: &Rc<Agent>, request: &Incoming) -> Result<Response, XrpcError> {
    if let Some(refusal) = sockets::check_upgrade(request).map_err(XrpcError::internal)? {
        return Ok(refusal);
    }
    let awake = agent.awake().await?;
    let unlimited =
        !awake.config.rate_limits || awake.config.bypasses_limits(request.header(BYPASS_HEADER).as_deref());
    // Nothing is awaited from here on: what comes next is told, or is in what is read.
    let context = call::context(agent, awake);
    let ask = {
        let inbox = agent.readers.inbox(agent);
        Ask::read(&context, &inbox, request.authorization(), &request.query())?
    };
    if let Some(refusal) = ask.refusal(&context)? {
        let answer = sockets::refusing(&refusal, |refusal, server| server.send_with_str(refusal.text()));
        return answer.map_err(XrpcError::internal);
    }
    let pair = WebSocketPair::new().map_err(XrpcError::internal)?;
    let server = pair.server.clone();
    let id = agent.readers.sockets.accept(&agent.state, pair.server);
    let begun = agent.readers.inbox(agent).add(&context, &agent.readers.sockets, id, ask, unlimited);
    if let Err(error) = begun {
        let _ = server.close(Some(CLOSE_FAULT), Some("InternalServerError"));
        return Err(error);
    }
    start_pump(agent);
    agent.mind().await?;
    let answer = Response::from_websocket(pair.client);
    answer
        .and_then(|answer| sockets::agreed(answer, request, events::offers_subprotocol, SUBPROTOCOL))
        .map_err(XrpcError::internal)
}

/// A client has said something.
pub(super) async fn heard(agent: &Rc<Agent>, socket: &WebSocket, message: &WebSocketIncomingMessage) {
    let Some(id) = sockets::name(socket) else { return };
    let awake = match agent.awake().await {
        Ok(awake) => awake,
        Err(error) => return worker::console_error!("inbox: {error}"),
    };
    tend(agent);
    let text = match message {
        WebSocketIncomingMessage::String(text) => Some(text.as_str()),
        WebSocketIncomingMessage::Binary(_) => None,
    };
    let context = call::context(agent, awake);
    let called = agent.readers.inbox(agent).hear(&context, &agent.readers.sockets, id, text);
    let Some(called) = called else { return };
    match called.method.place {
        Place::Host(_) => in_turn(agent, id, called).await,
        _ => {
            let answer = here(agent, &called);
            finish(agent, id, &called.id, answer);
            mind(agent).await;
        }
    }
}

/// A socket is gone.
pub(super) fn gone(agent: &Rc<Agent>, socket: &WebSocket) {
    if let Some(id) = agent.readers.sockets.remove(socket) {
        agent.readers.inbox(agent).remove(id);
    }
}

/// Runs a call behind those of its socket that came before it.
async fn in_turn(agent: &Rc<Agent>, id: SubscriberId, called: Called) {
    let mut next = agent.readers.begin(id, called);
    while let Some(called) = next {
        let answer = there(agent, &called).await;
        finish(agent, id, &called.id, answer);
        mind(agent).await;
        next = agent.readers.next(id);
    }
}

/// Runs a call of a method that needs no other object.
fn here(agent: &Rc<Agent>, called: &Called) -> Result<plain::Response, XrpcError> {
    let awake = agent.awake.get().ok_or_else(|| XrpcError::internal("the object sleeps"))?;
    let Place::Agent { run, .. } = called.method.place else { return Err(XrpcError::not_implemented()) };
    let claims = called.claims.clone().ok_or_else(XrpcError::auth_missing)?;
    let context = call::context(agent, awake);
    let reply = agent::answer_call(&context, called.method, run, claims, called.input.clone());
    tend(agent);
    match reply? {
        Reply::Now(response) | Reply::Changed(response) => Ok(response),
        Reply::Sent(..) | Reply::AfterWrite(..) => Err(XrpcError::not_implemented()),
    }
}

/// Runs a call of a method that reaches others.
async fn there(agent: &Rc<Agent>, called: &Called) -> Result<plain::Response, XrpcError> {
    let Place::Host(run) = called.method.place else { return Err(XrpcError::not_implemented()) };
    let claims = called.claims.clone().ok_or_else(XrpcError::auth_missing)?;
    let calls = (!called.unlimited).then(|| Calls::within(&agent.env, &agent.tabs));
    let counter = calls.as_ref().map(|calls| -> &dyn Counter { calls });
    let (method, input) = (called.method, called.input.clone());
    let answer = async |host: &Host<'_>| host.answer_call(method, run, claims, input).await;
    outside::with_host(agent, true, counter, answer).await
}

fn finish(agent: &Agent, id: SubscriberId, name: &str, answer: Result<plain::Response, XrpcError>) {
    if let Some(cause) = answer.as_ref().err().and_then(XrpcError::cause) {
        worker::console_error!("{cause}");
    }
    agent.readers.inbox(agent).finish(&agent.readers.sockets, id, &answered(name, answer));
}

/// Sees to what a call has left to do.
async fn mind(agent: &Rc<Agent>) {
    if let Err(error) = agent.mind().await {
        worker::console_error!("alarm: {error}");
    }
    outbox::start(agent);
}

/// Serves those who are behind, unless that goes on already: a batch at once, the rest behind the answer.
pub(super) fn start_pump(agent: &Rc<Agent>) {
    if agent.readers.pumping.get() {
        return;
    }
    let Some(pause) = pump(agent) else { return };
    agent.readers.pumping.set(true);
    let this = Rc::clone(agent);
    agent.state.wait_until(async move {
        let mut pause = Some(pause);
        while let Some(ms) = pause {
            wait(ms).await;
            pause = pump(&this);
        }
        this.readers.pumping.set(false);
    });
}

/// One turn of the pump; answers the milliseconds until the next, or `None` if there is nothing left to do.
fn pump(agent: &Agent) -> Option<u32> {
    let awake = agent.awake.get()?;
    let mut inbox = agent.readers.inbox(agent);
    if !inbox.is_behind() {
        return None;
    }
    match inbox.pump(&call::context(agent, awake), &agent.readers.sockets) {
        Ok(Pump::Idle) => None,
        Ok(Pump::Again) => Some(0),
        Ok(Pump::Pause(ms)) => Some(u32::try_from(ms).unwrap_or(u32::MAX)),
        Err(error) => {
            // The alarm begins again.
            worker::console_error!("inbox: {error}");
            None
        }
    }
}

/// Microseconds until the alarm resumes a replay that an eviction has interrupted.
const RESUME_MICROS: u64 = murmuration_relay::limits::PUMP_BACKSTOP_MS * 1000;
