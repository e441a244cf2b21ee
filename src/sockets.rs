//! The sockets of those who read what an object tells. They hibernate: the platform keeps them while the object sleeps.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_channel::oneshot;
use js_sys::{JsString, Uint8Array};
use murmuration_relay::{CLOSE_POLICY, Message, Refusal, Sockets, SubscriberId};
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::http::Verb;
use wasm_bindgen::prelude::*;
use worker::{Headers, Response, State, WebSocket, WebSocketPair};

use crate::http::{self, Asked};
use crate::request::Incoming;

#[wasm_bindgen]
extern "C" {
    /// A socket that takes a message of either kind as JavaScript has it.
    type Outgoing;

    #[wasm_bindgen(method, catch)]
    fn send(this: &Outgoing, message: &JsValue) -> Result<(), JsValue>;
}

/// The tag of a reader's socket. Other sockets of the object would have others.
const TAG: &str = "reader";
/// The header in which the two sides of a WebSocket agree on what they speak.
const PROTOCOL: &str = "sec-websocket-protocol";
/// WebSocket close code 1000: what was to be said has been said.
const CLOSE_NORMAL: u16 = 1000;
/// Close codes that a runtime reports and no frame may carry: no code, no close frame, no TLS (RFC 6455, 7.4.1).
const UNSENDABLE: [u16; 3] = [1005, 1006, 1015];
/// The attachment of a socket that was closed from here; its other end may take a while to answer.
const CLOSED: &str = "closed";

/// The sockets that are open, by the name that this object has given them.
#[derive(Default)]
pub(crate) struct OpenSockets {
    open: RefCell<BTreeMap<SubscriberId, WebSocket>>,
    /// Answers that wait for an event.
    waiting: RefCell<BTreeMap<SubscriberId, oneshot::Sender<()>>>,
    last: Cell<SubscriberId>,
}

impl OpenSockets {
    /// Accepts a new one.
    pub(crate) fn accept(&self, state: &State, socket: WebSocket) -> SubscriberId {
        state.accept_websocket_with_tags(&socket, &[TAG]);
        let id = self.next();
        self.open.borrow_mut().insert(id, socket);
        id
    }

    /// Names an answer that waits for an event, and what tells it of one.
    pub(crate) fn waiter(&self) -> (SubscriberId, oneshot::Receiver<()>) {
        let (sender, receiver) = oneshot::channel();
        let id = self.next();
        self.waiting.borrow_mut().insert(id, sender);
        (id, receiver)
    }

    /// Forgets an answer that does not wait any more.
    pub(crate) fn forget(&self, id: SubscriberId) {
        self.waiting.borrow_mut().remove(&id);
    }

    /// A name that nobody has.
    fn next(&self) -> SubscriberId {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }

    /// Finds those that were open while the object slept, with what was kept with each.
    pub(crate) fn wake(&self, state: &State) -> Vec<(SubscriberId, String)> {
        let mut open = self.open.borrow_mut();
        open.clear();
        let mut kept = Vec::new();
        for socket in state.get_websockets_with_tag(TAG) {
            if let Some((id, attachment)) = attachment(&socket) {
                self.last.set(self.last.get().max(id));
                open.insert(id, socket);
                kept.push((id, attachment));
            }
        }
        kept
    }

    /// Forgets one that is gone, and says which it was.
    pub(crate) fn remove(&self, socket: &WebSocket) -> Option<SubscriberId> {
        let id = name(socket)?;
        self.open.borrow_mut().remove(&id);
        Some(id)
    }
}

impl Sockets for OpenSockets {
    fn buffered(&self, id: SubscriberId) -> u64 {
        let raw = |socket: &WebSocket| u64::from(socket.as_ref().buffered_amount());
        self.open.borrow().get(&id).map_or(0, raw)
    }

    fn send(&self, ids: &[SubscriberId], message: Message<'_>) {
        if ids.is_empty() {
            return;
        }
        // The platform sends from this later, and does not change it: one copy serves all.
        let message: JsValue = match message {
            Message::Frame(frame) => Uint8Array::from(frame).buffer().into(),
            Message::Text(text) => JsString::from(text).into(),
        };
        let open = self.open.borrow();
        for socket in ids.iter().filter_map(|id| open.get(id)) {
            // One that is closing refuses; its end is on the way to us.
            let _ = socket.as_ref().unchecked_ref::<Outgoing>().send(&message);
        }
    }

    fn keep(&self, id: SubscriberId, attachment: &str) {
        if let Some(socket) = self.open.borrow().get(&id) {
            let _ = socket.serialize_attachment(format!("{id} {attachment}"));
        }
    }

    fn close(&self, id: SubscriberId, code: u16, reason: &str) {
        if let Some(socket) = self.open.borrow_mut().remove(&id) {
            let _ = socket.serialize_attachment(CLOSED);
            let _ = socket.close(Some(code), Some(reason));
        }
    }

    fn wake(&self, ids: &[SubscriberId]) {
        let mut waiting = self.waiting.borrow_mut();
        for sender in ids.iter().filter_map(|id| waiting.remove(id)) {
            // One that has given up does not listen.
            let _ = sender.send(());
        }
    }
}

/// The name of a socket; `None` for one that was closed from here, or is no reader's.
pub(crate) fn name(socket: &WebSocket) -> Option<SubscriberId> {
    attachment(socket).map(|(id, _)| id)
}

/// The name of a socket, and what was kept with it.
fn attachment(socket: &WebSocket) -> Option<(SubscriberId, String)> {
    let text: String = socket.deserialize_attachment().ok().flatten()?;
    let (id, attachment) = text.split_once(' ')?;
    Some((id.parse().ok()?, attachment.to_owned()))
}

/// Refuses a request that does not open a WebSocket.
pub(crate) fn check_upgrade(request: &Incoming) -> worker::Result<Option<Response>> {
    let refuse = |status, error, message: &str| -> Response {
        http::give(XrpcError::new(status, error, message).into(), Asked::of(request)).into()
    };
    if request.verb() != Verb::Get {
        return Ok(Some(refuse(405, "InvalidRequest", "Method Not Allowed")));
    }
    let upgrade = request.header("upgrade").unwrap_or_default();
    if upgrade.eq_ignore_ascii_case("websocket") {
        return Ok(None);
    }
    with_header(refuse(426, "UpgradeRequired", "Upgrade Required"), "upgrade", "websocket").map(Some)
}

/// A WebSocket that says why there is none, and is closed.
pub(crate) fn refusing(
    refusal: &Refusal,
    say: impl FnOnce(&Refusal, &WebSocket) -> worker::Result<()>,
) -> worker::Result<Response> {
    let pair = WebSocketPair::new()?;
    pair.server.accept()?;
    say(refusal, &pair.server)?;
    pair.server.close(Some(CLOSE_POLICY), Some(refusal.error))?;
    Response::from_websocket(pair.client)
}

/// Answers a close frame: the platform does not by itself, and a reader that gets no answer waits for one.
pub(crate) fn close_back(socket: &WebSocket, code: usize, reason: &str) {
    let code = u16::try_from(code).ok().filter(|code| !UNSENDABLE.contains(code)).unwrap_or(CLOSE_NORMAL);
    let _ = socket.close(Some(code), Some(reason));
}

/// The answer that opens a WebSocket, which names the subprotocol if the client has offered it.
pub(crate) fn agreed(
    answer: Response,
    request: &Incoming,
    offered: fn(&str) -> bool,
    name: &str,
) -> worker::Result<Response> {
    let header = request.header(PROTOCOL).unwrap_or_default();
    if answer.status_code() == 101 && offered(&header) {
        return with_header(answer, PROTOCOL, name);
    }
    Ok(answer)
}

/// The same answer with a header.
pub(crate) fn with_header(response: Response, name: &str, value: &str) -> worker::Result<Response> {
    let headers: Headers = response.headers().clone();
    headers.set(name, value)?;
    Ok(response.with_headers(headers))
}
