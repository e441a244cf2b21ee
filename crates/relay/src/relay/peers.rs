//! The relay's peers: who they are, and what becomes of what they say.

use murmuration_firehose::SyncEvent;
use murmuration_platform::Store;
use murmuration_syntax::Did;

use super::{News, Relay};
use crate::RelayError;
use crate::feed::Sockets;
use crate::limits::PEER_MENDS;
use crate::log::{Frames, Scope};
use crate::peers::{
    End, Identities, Judge, NewPeer, PeerHost, PeerView, Peers, Verdicts, Visit, Visited, Want, mends,
};

/// What has become of a peer's frames.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TakenIn {
    /// Whose documents are needed first. If there are any, nothing was judged: have them looked up, and ask again.
    pub wants: Vec<Want>,
    /// Why the rest of the frames is not judged.
    pub end: Option<End>,
}

impl Relay {
    /// Adds a peer, or changes what is thought of one. `None` where there are as many as there may be. Writes 1 row.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn put_peer(&mut self, store: &dyn Store, new: NewPeer) -> Result<Option<PeerView>, RelayError> {
        Ok(self.peers.put(store, new)?)
    }

    /// At most so many peers, by name, behind one.
    #[must_use]
    pub fn peers(&self, after: &str, limit: usize) -> Vec<PeerView> {
        self.peers.list(after, limit)
    }

    /// The peer to be visited now, if there is one and none is. It is until [`Relay::visited`].
    pub fn take_visit(&mut self, now_ms: u64) -> Option<Visit> {
        self.peers.take(now_ms)
    }

    /// Judges a peer's frames, stores what is believed of them together with how far they were judged, and tells it to readers of
    /// events. `may_ask` is how many more documents may be looked up.
    ///
    /// Writes a row of the log for as many events as fit one, one for each account that has changed, one for the peer, and one for
    /// each from which an account has moved; nothing where nothing is believed.
    ///
    /// # Errors
    /// [`RelayError::Store`]; then nothing was stored, and nothing was sent.
    pub fn take_in(
        &mut self,
        store: &dyn Store,
        sockets: &dyn Sockets,
        (host, frames): (&PeerHost, &[Vec<u8>]),
        (known, may_ask): (&Identities, usize),
        now_ms: u64,
    ) -> Result<TakenIn, RelayError> {
        let Some(peer) = self.peers.get(host) else { return Ok(TakenIn::default()) };
        let verdicts = Judge::new(store, peer, known, may_ask, now_ms).judge(frames)?;
        let bytes = frames.iter().map(Vec::len).sum();
        self.settle(store, sockets, (host, bytes), verdicts, now_ms)
    }

    /// The accounts of a peer that are out of step, and whose host is to be asked for their latest commit now.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn mends(&self, store: &dyn Store, host: &PeerHost, now_ms: u64) -> Result<Vec<Did>, RelayError> {
        let dids = mends(store, host, now_ms, PEER_MENDS)?;
        Ok(dids.iter().filter_map(|did| Did::parse(did).ok()).collect())
    }

    /// Brings an account back into step by what its host has shown, or notes that it stays out of step. Tells a `#sync`.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn mend(
        &mut self,
        store: &dyn Store,
        sockets: &dyn Sockets,
        (host, did): (&PeerHost, &Did),
        (shown, known): (Option<SyncEvent>, &Identities),
        now_ms: u64,
    ) -> Result<TakenIn, RelayError> {
        let Some(peer) = self.peers.get(host) else { return Ok(TakenIn::default()) };
        let verdicts = Judge::new(store, peer, known, 0, now_ms).mend(did, shown)?;
        self.settle(store, sockets, (host, 0), verdicts, now_ms)
    }

    /// A visit has ended. Writes 1 row if it went wrong, or brought something with which no row was written yet.
    ///
    /// # Errors
    /// [`RelayError::Store`].
    pub fn visited(
        &mut self,
        store: &dyn Store,
        host: &PeerHost,
        visited: Visited,
        now_ms: u64,
    ) -> Result<(), RelayError> {
        Ok(self.peers.visited(store, host, visited, now_ms)?)
    }

    /// Stores what was judged, and tells it.
    fn settle(
        &mut self,
        store: &dyn Store,
        sockets: &dyn Sockets,
        (host, bytes): (&PeerHost, usize),
        verdicts: Verdicts,
        now_ms: u64,
    ) -> Result<TakenIn, RelayError> {
        let Some(peer) = self.peers.get(host).filter(|_| verdicts.wants.is_empty()) else {
            return Ok(TakenIn { wants: verdicts.wants, end: None });
        };
        let peer = Peers::moved(peer, &verdicts, bytes, now_ms);
        if verdicts.is_stored() {
            let mut peers = self.peers.left(&verdicts);
            peers.push(peer);
            let (hooks, mut news) = (&mut self.hooks, News::of(Scope::All, &self.waiting));
            let beside = |frames: &Frames| {
                Peers::write(store, &peers, &verdicts, now_ms)?;
                Ok(news.note(store, hooks, frames, now_ms)?)
            };
            let frames = self.log.merge(store, host.as_str(), &verdicts.told, now_ms, beside)?;
            peers.into_iter().for_each(|peer| self.peers.keep(peer));
            self.tell(sockets, &frames, news);
        } else {
            self.peers.keep(peer);
        }
        Ok(TakenIn { wants: Vec::new(), end: verdicts.end })
    }
}
