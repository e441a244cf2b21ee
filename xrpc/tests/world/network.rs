//! The network of a [`World`](super::World): a PLC directory that verifies what it is given, and canned answers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::ready;
use std::rc::Rc;

use murmuration_bridge::Document;
use murmuration_bridge::plc::{self, Operation};
use murmuration_keys::VerifyingKey;
use murmuration_platform::{
    Outbound, OutboundError, OutboundFuture, OutboundRequest, OutboundResponse, Verb as OutboundVerb,
};
use murmuration_syntax::Did;
use serde_json::{Value, json};

use super::{Faults, PLC};

/// Status, headers and body.
pub type Answer = (u16, Vec<(String, String)>, Vec<u8>);
/// Answers a request, or is away.
pub type Peer = Box<dyn Fn(&OutboundRequest) -> Option<Answer>>;

/// The network: a PLC directory, and canned answers.
pub struct Network {
    pub log: RefCell<BTreeMap<Did, Vec<Operation>>>,
    pub pages: RefCell<BTreeMap<String, (u16, String)>>,
    /// What was asked for, of all but the PLC directory.
    pub asked: RefCell<Vec<OutboundRequest>>,
    pub plc_is_away: Cell<bool>,
    pub plc_refuses: Cell<bool>,
    /// Another host, which answers what is no page and not the PLC directory's.
    pub peer: RefCell<Option<Peer>>,
    /// It takes no keys but those that sign for accounts.
    pub plc_is_old: Cell<bool>,
    pub(super) faults: Rc<Faults>,
}

impl Network {
    /// What the PLC directory says of a DID: `None` when it never heard of it or it has ended.
    pub fn state(&self, did: &Did) -> Option<plc::State> {
        self.log.borrow().get(did).and_then(|log| plc::verify(did, log).unwrap().state)
    }

    fn answer(&self, request: &OutboundRequest) -> Result<Answer, OutboundError> {
        let Some(path) = request.url.strip_prefix(PLC) else {
            self.asked.borrow_mut().push(request.clone());
            let page = self.pages.borrow().get(&request.url).cloned();
            let away = || OutboundError::Unreachable(request.url.clone());
            return page.map(|(status, body)| (status, Vec::new(), body.into_bytes())).map_or_else(
                || self.peer.borrow().as_ref().and_then(|peer| peer(request)).ok_or_else(away),
                Ok,
            );
        };
        if self.plc_is_away.get() {
            return Err(OutboundError::TimedOut(request.timeout_ms));
        }
        let mut parts = path.trim_start_matches('/').splitn(2, '/');
        let did = Did::parse(parts.next().unwrap()).unwrap();
        let suffix = parts.next().unwrap_or_default();
        if request.verb == OutboundVerb::Post {
            let (status, body) = self.submit(did, &request.body);
            return Ok((status, Vec::new(), body.into_bytes()));
        }
        let log = self.log.borrow().get(&did).cloned().unwrap_or_default();
        let (status, body) = match (log.last(), suffix) {
            (None, _) => (404, r#"{"message":"DID not registered"}"#.into()),
            (Some(_), "log") => (200, serde_json::to_string(&log).unwrap()),
            (Some(last), "log/last") => (200, last.to_json().unwrap()),
            (_, "log/audit") => (200, audit(&did, &log)),
            (Some(last), "") => match last.state() {
                Some(state) => (200, Document::of_state(&did, &state).json().to_string()),
                None => (404, r#"{"message":"DID not available"}"#.into()),
            },
            _ => panic!("nobody asks for {path}"),
        };
        Ok((status, Vec::new(), body.into_bytes()))
    }

    fn submit(&self, did: Did, body: &[u8]) -> (u16, String) {
        let mut log = self.log.borrow().get(&did).cloned().unwrap_or_default();
        log.push(Operation::from_json(body).unwrap());
        let unknown = |state: plc::State| {
            state.verification_methods.values().any(|key| VerifyingKey::from_did_key(key).is_err())
        };
        if self.plc_is_old.get() && log.last().and_then(Operation::state).is_some_and(unknown) {
            return (400, r#"{"message":"Unsupported key"}"#.into());
        }
        if self.plc_refuses.get() || plc::verify(&did, &log).is_err() {
            return (400, r#"{"message":"Operations not correctly ordered"}"#.into());
        }
        self.log.borrow_mut().insert(did, log);
        (200, "OK".into())
    }
}

impl Outbound for Network {
    fn send(&self, request: OutboundRequest) -> OutboundFuture<'_> {
        let answer = self.faults.call(|| self.answer(&request));
        let answer = answer.unwrap_or_else(|| Err(OutboundError::Unreachable(request.url.clone())));
        Box::pin(ready(answer.map(|(status, headers, body)| OutboundResponse { status, headers, body })))
    }
}

/// The directory's audit log of a DID whose operations all are in force.
fn audit(did: &Did, log: &[Operation]) -> String {
    let entries: Vec<Value> = log
        .iter()
        .enumerate()
        .map(|(number, operation)| {
            json!({
                "did": did,
                "operation": operation,
                "cid": operation.cid().to_string(),
                "nullified": false,
                "createdAt": format!("2026-01-01T00:{:02}:{:02}.000Z", number / 60, number % 60),
            })
        })
        .collect();
    Value::from(entries).to_string()
}
