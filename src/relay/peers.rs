//! Peers: what the operator says of them, and the visits.

use std::rc::Rc;

use murmuration_bridge::resolver::{Resolver, Sources};
use murmuration_lexicons::Catalog;
use murmuration_relay::limits::{
    PEER_CONNECT_MS, PEER_LOOKUPS, PEER_SESSION_MS, PEER_TURN_EVENTS, PEER_WAITING_BYTES,
};
use murmuration_relay::{End, Found, Haul, Identities, Session, Visit, Visited, Want};
use murmuration_syntax::Did;
use murmuration_xrpc::method::Method;
use murmuration_xrpc::peers::{self, Asked};
use murmuration_xrpc::{Config, XrpcError, http as plain};
use worker::Response;

use super::Host;
use crate::clock::{WallClock, wait};
use crate::http;
use crate::outbound::{Fetcher, Heard, Patience};
use crate::request::Incoming;

/// What a visit knows, and how much more it may ask for.
struct Visitor<'a> {
    visit: &'a Visit,
    config: Config,
    fetcher: Fetcher,
    known: Identities,
    may_ask: usize,
}

impl Host {
    /// A method about peers.
    pub(super) async fn peers(self: &Rc<Self>, request: &Incoming, method: &Method) -> Response {
        let answer = self.peer(request, method).await;
        http::answer(answer.unwrap_or_else(|error| http::refusal(&error)), request)
    }

    async fn peer(
        self: &Rc<Self>,
        request: &Incoming,
        method: &Method,
    ) -> Result<plain::Response, XrpcError> {
        let config = self.config()?;
        let plain = http::read(request, method.max_json).await?;
        match peers::asked(&config, Catalog::builtin(), method, &plain, self.now() / 1000)? {
            Asked::List(after, limit) => {
                peers::listed(&self.turn(|relay, _| Ok(relay.peers(&after, limit)))?, limit)
            }
            Asked::Put(new) => {
                let new = peers::identify(&config, &self.fetcher(&config), new).await?;
                let put = self.turn(|relay, _| relay.put_peer(&self.store, new))?;
                self.settle().await;
                peers::put(&put.ok_or_else(|| {
                    XrpcError::named("QuotaExceeded", "There are as many peers as there may be")
                })?)
            }
        }
    }

    /// Visits the peer whose turn it is, behind the answer, and those after it.
    pub(super) fn start_visits(self: &Rc<Self>) {
        let Ok(Some(visit)) = self.turn(|relay, now| Ok(relay.take_visit(now))) else { return };
        let host = Rc::clone(self);
        self.state.wait_until(async move {
            let visited = host.visit(&visit).await.unwrap_or_else(|error| {
                worker::console_error!("{}: {error}", visit.host.as_str());
                Visited { problem: Some("a fault of this host".to_owned()), ..Visited::default() }
            });
            let noted = host.turn(|relay, now| relay.visited(&host.store, &visit.host, visited, now));
            if let Err(error) = noted {
                worker::console_error!("peers: {error}");
            }
            host.settle().await;
        });
    }

    async fn visit(self: &Rc<Self>, visit: &Visit) -> Result<Visited, XrpcError> {
        let config = self.config()?;
        let fetcher = self.fetcher(&config);
        let mut visitor = Visitor { visit, config, fetcher, known: Identities::new(), may_ask: PEER_LOOKUPS };
        let haul = self.read(&visitor).await;
        let (mut more, mut problem) = (haul.more, haul.problem);
        for frames in haul.frames.chunks(PEER_TURN_EVENTS) {
            match self.take_in(&mut visitor, frames).await? {
                None => {}
                Some(End::Lookups) => {
                    more = true;
                    break;
                }
                Some(End::Away) => {
                    problem = Some("the directory of DIDs does not answer".to_owned());
                    break;
                }
                Some(End::Peer(name)) => {
                    problem = Some(name);
                    break;
                }
            }
            // Those who are behind are seen to, and others have their turn.
            self.settle().await;
            wait(0).await;
        }
        self.mend(&mut visitor).await?;
        Ok(Visited { bytes: haul.bytes, more, problem })
    }

    /// Reads a peer's stream for a while.
    async fn read(&self, visitor: &Visitor<'_>) -> Haul {
        let (visit, config) = (visitor.visit, &visitor.config);
        let url = peers::stream_url(&visit.host.origin(config.allow_private_network), visit.cursor);
        let patience = Patience {
            connect_ms: PEER_CONNECT_MS,
            total_ms: u32::try_from(PEER_SESSION_MS).unwrap_or(u32::MAX),
            max_bytes: PEER_WAITING_BYTES,
        };
        let stream = match visitor.fetcher.listen(&url, &patience).await {
            Ok(stream) => stream,
            Err(error) => return Haul { problem: Some(error.to_string()), ..Haul::default() },
        };
        let mut session = Session::new(visit.max_bytes, self.now());
        while let Some(ms) = session.patience(self.now()) {
            match stream.next(ms).await {
                Heard::Frame(frame) => session.take(frame),
                Heard::Other => session.refuse("a message that is no frame"),
                Heard::Nothing => break,
            }
        }
        session.end(self.now())
    }

    /// Has frames judged, after the documents were looked up that it takes.
    async fn take_in(&self, visitor: &mut Visitor<'_>, frames: &[Vec<u8>]) -> Result<Option<End>, XrpcError> {
        loop {
            let taken = self.turn(|relay, now| {
                let asked = (&visitor.known, visitor.may_ask);
                relay.take_in(&self.store, &self.sockets, (&visitor.visit.host, frames), asked, now)
            })?;
            if taken.wants.is_empty() {
                return Ok(taken.end);
            }
            for want in taken.wants {
                self.find_out(visitor, want).await;
            }
        }
    }

    /// Asks for the latest commits of accounts that are out of step.
    async fn mend(&self, visitor: &mut Visitor<'_>) -> Result<(), XrpcError> {
        let host = &visitor.visit.host;
        let origin = host.origin(visitor.config.allow_private_network);
        for did in self.turn(|relay, now| relay.mends(&self.store, host, now))? {
            let now = self.now() * 1000;
            let shown = peers::latest_commit(&visitor.fetcher, &origin, &did, now).await;
            if shown.is_some() && !is_fresh(&visitor.known, &did) {
                self.find_out(visitor, Want { did: did.clone(), fresh: true }).await;
            }
            self.turn(|relay, now| {
                let shown = (shown, &visitor.known);
                relay.mend(&self.store, &self.sockets, (host, &did), shown, now)
            })?;
        }
        Ok(())
    }

    /// Looks up a document.
    async fn find_out(&self, visitor: &mut Visitor<'_>, want: Want) {
        visitor.may_ask = visitor.may_ask.saturating_sub(1);
        let sources = Sources {
            plc_url: &visitor.config.plc_url,
            doh_urls: &visitor.config.doh_urls,
            allow_localhost: visitor.config.allow_private_network,
        };
        let resolver = Resolver::new(&self.cache, sources, &visitor.fetcher, &WallClock);
        let found = peers::find_out(&resolver, &want.did, want.fresh).await;
        visitor.known.insert(want.did, found);
    }
}

/// Whether an account's document was looked up on this visit.
fn is_fresh(known: &Identities, did: &Did) -> bool {
    matches!(known.get(did), Some(Found::Account(identity)) if identity.fresh)
}
