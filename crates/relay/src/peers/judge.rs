//! Which of a peer's events are believed.
//!
//! The checks of indigo's relay (`cmd/relay/relay/ingest.go`, `verify.go`), all of them strict. In the order in which they are made:
//!
//! | of | asked | else |
//! |---|---|---|
//! | every event | its number is above the cursor | passed over |
//! | | the peer is to be believed of that account at all | passed over |
//! | | the account's DID document names the peer as its host, by an answer of this visit if it must be | passed over |
//! | | the account is known, or there is room for one more | passed over |
//! | `#commit` | the account is active and in step, the rev is later than the last | passed over |
//! | | signed by the account's key, by an answer of this visit if it must be; the rev not in the future | passed over |
//! | | `since` and `prevData` are those of the last commit; sizes, operations, records, inversion | out of step |
//! | `#sync` | the account is active; signed; the rev not before the last | passed over |
//! | `#identity` | its handle is the one that the document claims | told without it |
//!
//! What is passed over changes nothing. A signature is what a forger lacks, so a wrong one does not put an account out of step: the
//! commits of its owner go on from where they were. A chain that breaks does, for there the owner's repository is another one.

use std::collections::{BTreeMap, BTreeSet};

use murmuration_firehose::{
    AccountEvent, AccountStatus, CommitEvent, Event, FirehoseError, IdentityEvent, SyncEvent, VerifyError,
    verify_commit, verify_sync,
};
use murmuration_keys::VerifyingKey;
use murmuration_platform::{Store, StoreError};
use murmuration_repo::{Commit, RepoError, car};
use murmuration_syntax::{Did, Handle};

use super::Peer;
use super::account::{Account, Mend};
use super::frame::Said;
use crate::limits::MAX_STATUS_BYTES;

/// What is known of whoever speaks.
#[derive(Clone, Debug)]
pub enum Found {
    /// What the DID document says.
    Account(Identity),
    /// There is no such DID, or none with a usable document.
    Nobody,
    /// Nobody has answered.
    NoAnswer,
}

/// What a DID document says of an account.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The origin of its host.
    pub pds: String,
    /// The key that signs its commits.
    pub key: VerifyingKey,
    /// The handle that it claims.
    pub handle: Option<Handle>,
    /// Whether the document was fetched for this visit, and is not one that was known before.
    pub fresh: bool,
}

/// Those of whom something is known.
pub type Identities = BTreeMap<Did, Found>;

/// Somebody whose DID document is needed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Want {
    /// Whose.
    pub did: Did,
    /// Whether what is known will not do.
    pub fresh: bool,
}

/// Why no more is judged.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum End {
    /// Enough documents were looked up for one visit.
    Lookups,
    /// The directory of DIDs does not answer.
    Away,
    /// The peer has ended the stream, or says what is no stream.
    Peer(String),
}

/// What has become of a peer's frames.
#[derive(Debug)]
pub(crate) struct Verdicts {
    /// What is told, under the peer's own numbers.
    pub(crate) told: Vec<(u64, Vec<u8>)>,
    /// How far the frames were judged.
    pub(crate) cursor: u64,
    /// Whose documents are needed before anything is judged. If there are any, the rest is void.
    pub(crate) wants: Vec<Want>,
    /// Why the rest of the frames is not judged.
    pub(crate) end: Option<End>,
    /// The accounts that were looked at, as they were and as they are.
    accounts: BTreeMap<String, (Option<Account>, Account)>,
}

impl Verdicts {
    /// The accounts that are not what they were.
    pub(crate) fn changed(&self) -> impl Iterator<Item = (&str, &Account)> {
        let changed = self.accounts.iter().filter(|(_, (was, is))| is.differs(was.as_ref()));
        changed.map(|(did, (_, is))| (did.as_str(), is))
    }

    /// How many accounts are the peer's that were not.
    pub(crate) fn brought(&self) -> u64 {
        let is_new = |(was, is): &&(Option<Account>, Account)| {
            is.differs(was.as_ref()) && was.as_ref().is_none_or(|was| was.host != is.host)
        };
        self.accounts.values().filter(is_new).count().try_into().unwrap_or(u64::MAX)
    }

    /// The peers whose accounts are another's now, once for each account.
    pub(crate) fn left(&self) -> impl Iterator<Item = &str> {
        let moved = |(was, is): &&(Option<Account>, Account)| is.differs(was.as_ref());
        self.accounts.values().filter(moved).filter_map(|(was, is)| {
            was.as_ref().filter(|was| was.host != is.host).map(|was| was.host.as_str())
        })
    }

    /// Whether there is anything that must be stored.
    pub(crate) fn is_stored(&self) -> bool {
        !self.told.is_empty() || self.changed().next().is_some()
    }
}

/// Judges the frames of one peer.
pub(crate) struct Judge<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) peer: &'a Peer,
    pub(crate) known: &'a Identities,
    /// How many more documents may be looked up.
    pub(crate) may_ask: usize,
    pub(crate) now_ms: u64,
    verdicts: Verdicts,
}

/// What becomes of an event.
enum Step {
    /// It was told, or passed over.
    Done,
    /// A document must be had before it can be judged.
    Ask { fresh: bool },
    /// Nothing more can be judged.
    End(End),
}

impl<'a> Judge<'a> {
    /// A judge who has seen nothing yet.
    pub(crate) fn new(
        store: &'a dyn Store,
        peer: &'a Peer,
        known: &'a Identities,
        may_ask: usize,
        now_ms: u64,
    ) -> Self {
        let (told, wants, accounts) = (Vec::new(), Vec::new(), BTreeMap::new());
        let verdicts = Verdicts { told, cursor: peer.cursor, wants, end: None, accounts };
        Self { store, peer, known, may_ask, now_ms, verdicts }
    }

    /// Judges frames, in their order.
    pub(crate) fn judge(mut self, frames: &[Vec<u8>]) -> Result<Verdicts, StoreError> {
        let said: Vec<Said> = frames.iter().map(|frame| Said::of(frame)).collect();
        self.foresee(&said);
        if !self.verdicts.wants.is_empty() {
            return Ok(self.verdicts);
        }
        let mut asked = BTreeSet::new();
        for said in said {
            let (seq, did) = match &said {
                Said::Nothing => continue,
                Said::Ended(name) => {
                    self.end(End::Peer(name.clone()));
                    if name == FUTURE_CURSOR {
                        // The peer has begun to count anew. What was told already will be known by its rev.
                        self.verdicts.cursor = 0;
                    }
                    break;
                }
                Said::Garbage => {
                    self.end(End::Peer("a frame that is none".to_owned()));
                    break;
                }
                Said::Broken(seq, did) => (*seq, did.clone()),
                Said::Event(seq, event) => (*seq, event.did().clone()),
            };
            if seq <= self.verdicts.cursor {
                continue;
            }
            let step = if !self.peer.admits(&did) || asked.contains(&did) {
                Step::Done
            } else {
                match said {
                    Said::Event(_, event) => self.event(seq, event)?,
                    _ => self.broken(&did)?,
                }
            };
            match step {
                Step::Done => {}
                Step::Ask { fresh } if self.verdicts.wants.len() < self.may_ask => {
                    asked.insert(did.clone());
                    self.verdicts.wants.push(Want { did, fresh });
                }
                Step::Ask { .. } => {
                    self.end(End::Lookups);
                    break;
                }
                Step::End(end) => {
                    self.end(end);
                    break;
                }
            }
            self.verdicts.cursor = seq;
        }
        Ok(self.verdicts)
    }

    /// Judges what the host of an account that is out of step has shown when it was asked: `None` where it has shown nothing.
    /// What comes of it is told as a `#sync` under the number where the peer's stream stands.
    pub(crate) fn mend(mut self, did: &Did, shown: Option<SyncEvent>) -> Result<Verdicts, StoreError> {
        if let Some(shown) = shown.filter(|event| event.did == *did)
            && matches!(self.event(self.peer.cursor, Event::Sync(shown))?, Step::Ask { .. })
        {
            self.verdicts.wants.push(Want { did: did.clone(), fresh: true });
            return Ok(self.verdicts);
        }
        let now_ms = self.now_ms;
        if let Some(account) = self.account(did)?
            && let Some(mend) = account.mend
        {
            account.mend = Some(mend.failed(now_ms));
        }
        Ok(self.verdicts)
    }

    /// Notes which documents will be needed, so that they can be had before anything is verified.
    fn foresee(&mut self, said: &[Said]) {
        let mut seen = BTreeSet::new();
        for said in said {
            let (seq, did, fresh) = match said {
                Said::Event(seq, Event::Identity(event)) => (*seq, &event.did, true),
                Said::Event(seq, event) => (*seq, event.did(), false),
                Said::Broken(seq, did) => (*seq, did, false),
                _ => continue,
            };
            if seq <= self.peer.cursor || !self.peer.admits(did) {
                continue;
            }
            let is_known = self.known.get(did).is_some_and(|found| match found {
                Found::Account(identity) => identity.fresh || !fresh,
                Found::Nobody | Found::NoAnswer => true,
            });
            if !is_known && seen.insert(did) {
                if self.verdicts.wants.len() >= self.may_ask {
                    return;
                }
                self.verdicts.wants.push(Want { did: did.clone(), fresh });
            }
        }
    }

    fn end(&mut self, end: End) {
        self.verdicts.end = Some(end);
    }

    fn event(&mut self, seq: u64, event: Event) -> Result<Step, StoreError> {
        let did = event.did().clone();
        let identity = match self.identity(&did, matches!(event, Event::Identity(_)))? {
            Ok(identity) => identity,
            Err(step) => return Ok(step),
        };
        match event {
            Event::Commit(event) => self.commit(seq, event, identity),
            Event::Sync(event) => self.sync(seq, event, identity),
            Event::Identity(event) => self.renamed(seq, event, identity),
            Event::Account(event) => self.standing(seq, event),
            _ => Ok(Step::Done),
        }
    }

    /// Who an account of this peer is; or what becomes of its event otherwise.
    fn identity(&mut self, did: &Did, fresh: bool) -> Result<Result<&'a Identity, Step>, StoreError> {
        let known: &'a Identities = self.known;
        let identity = match known.get(did) {
            None => return Ok(Err(Step::Ask { fresh })),
            Some(Found::Nobody) => return Ok(Err(Step::Done)),
            // One directory answers for all of these: what it does not say now it says later.
            Some(Found::NoAnswer) if did.method() == "plc" => return Ok(Err(Step::End(End::Away))),
            Some(Found::NoAnswer) => {
                // A host that answers for few must not hold up all others.
                let now_ms = self.now_ms;
                if let Some((Some(_), account)) = self.look(did)? {
                    account.mend.get_or_insert(Mend::due(now_ms));
                }
                return Ok(Err(Step::Done));
            }
            Some(Found::Account(identity)) => identity,
        };
        let is_here = self.peer.host.is_at(&identity.pds);
        Ok(match (is_here, identity.fresh) {
            (_, false) if fresh || !is_here => Err(Step::Ask { fresh: true }),
            (false, _) => Err(Step::Done),
            (true, _) => Ok(identity),
        })
    }

    fn commit(&mut self, seq: u64, event: CommitEvent, identity: &Identity) -> Result<Step, StoreError> {
        let (now_ms, did) = (self.now_ms, event.repo.clone());
        let Some(account) = self.account(&did)? else { return Ok(Step::Done) };
        let is_old = account.head.is_some_and(|head| event.rev <= head.rev);
        if !account.active || account.mend.is_some() || is_old {
            return Ok(Step::Done);
        }
        match verify_commit(&event, account.head.as_ref(), &identity.key, now_ms * 1000) {
            Ok(head) => match draft(event) {
                Some(draft) => {
                    account.head = Some(head);
                    self.verdicts.told.push((seq, draft));
                }
                None => account.mend = Some(Mend::due(now_ms)),
            },
            Err(VerifyError::FutureRev | VerifyError::StaleRev) => {}
            // Asked here again, because what is wrong with the chain is found before the signature is looked at.
            Err(_) if !is_signed(&event, &identity.key) => {
                if !identity.fresh {
                    return Ok(Step::Ask { fresh: true });
                }
            }
            Err(_) => account.mend = Some(Mend::due(now_ms)),
        }
        Ok(Step::Done)
    }

    fn sync(&mut self, seq: u64, event: SyncEvent, identity: &Identity) -> Result<Step, StoreError> {
        let (now_ms, did) = (self.now_ms, event.did.clone());
        let Some(account) = self.account(&did)? else { return Ok(Step::Done) };
        if !account.active {
            return Ok(Step::Done);
        }
        match verify_sync(&event, account.head.as_ref(), &identity.key, now_ms * 1000) {
            Ok(head) => {
                (account.head, account.mend) = (Some(head), None);
                self.tell(seq, &Event::Sync(event));
            }
            Err(VerifyError::Repo(RepoError::Signature)) if !identity.fresh => {
                return Ok(Step::Ask { fresh: true });
            }
            Err(_) => {}
        }
        Ok(Step::Done)
    }

    fn renamed(
        &mut self,
        seq: u64,
        mut event: IdentityEvent,
        identity: &Identity,
    ) -> Result<Step, StoreError> {
        // Of an account for which there is no room nothing is told.
        if self.account(&event.did)?.is_some() {
            event.handle = event.handle.filter(|handle| identity.handle.as_ref() == Some(handle));
            self.tell(seq, &Event::Identity(event));
        }
        Ok(Step::Done)
    }

    fn standing(&mut self, seq: u64, mut event: AccountEvent) -> Result<Step, StoreError> {
        let Some(account) = self.account(&event.did)? else { return Ok(Step::Done) };
        account.active = event.inactive.is_none();
        if matches!(&event.inactive, Some(AccountStatus::Other(name)) if name.len() > MAX_STATUS_BYTES) {
            event.inactive = Some(AccountStatus::Unstated);
        }
        self.tell(seq, &Event::Account(event));
        Ok(Step::Done)
    }

    /// An account has said something that cannot be read.
    fn broken(&mut self, did: &Did) -> Result<Step, StoreError> {
        if let Err(step) = self.identity(did, false)? {
            return Ok(step);
        }
        let now_ms = self.now_ms;
        if let Some(account) = self.account(did)? {
            account.mend.get_or_insert(Mend::due(now_ms));
        }
        Ok(Step::Done)
    }

    fn tell(&mut self, seq: u64, event: &Event) {
        // These have no size to speak of.
        if let Ok(draft) = event.draft() {
            self.verdicts.told.push((seq, draft));
        }
    }

    /// An account of the peer, whose it is from here on; `None` if there is no room for it.
    fn account(&mut self, did: &Did) -> Result<Option<&mut Account>, StoreError> {
        let (room, peer) = (self.verdicts.brought() < self.peer.room(), self.peer);
        let host = &peer.host;
        let Some((was, is)) = self.look(did)? else { return Ok(None) };
        let is_own = is.host == host.as_str() && (was.is_some() || is.differs(None));
        if !is_own && !room {
            return Ok(None);
        }
        host.as_str().clone_into(&mut is.host);
        Ok(Some(is))
    }

    /// An account as it was and as it is.
    fn look(&mut self, did: &Did) -> Result<Option<&mut (Option<Account>, Account)>, StoreError> {
        if !self.verdicts.accounts.contains_key(did.as_str()) {
            let was = Account::load(self.store, did.as_str())?;
            let is = was.clone().unwrap_or_else(|| Account::new(&self.peer.host));
            self.verdicts.accounts.insert(did.as_str().to_owned(), (was, is));
        }
        Ok(self.verdicts.accounts.get_mut(did.as_str()))
    }
}

/// Whether the account's key has signed the commit that an event is about.
fn is_signed(event: &CommitEvent, key: &VerifyingKey) -> bool {
    let Ok(car) = car::Car::read(&event.blocks, car::Limits::EVENT) else { return false };
    let commit = car.blocks.get(&event.commit).and_then(|block| Commit::decode(block).ok());
    commit.is_some_and(|commit| commit.did == event.repo && commit.verify(key).is_ok())
}

/// A commit as it is told: as it is, or where it is too large for a row of the log as the `#sync` that says as much.
fn draft(event: CommitEvent) -> Option<Vec<u8>> {
    let event = Event::Commit(event);
    match (event.draft(), event) {
        (Ok(draft), _) => Some(draft),
        (Err(FirehoseError::TooLarge { .. }), Event::Commit(event)) => {
            let car = car::Car::read(&event.blocks, car::Limits::EVENT).ok()?;
            let mut blocks = car::header(&event.commit);
            car::block(&mut blocks, &event.commit, car.blocks.get(&event.commit)?);
            Event::Sync(SyncEvent { did: event.repo, rev: event.rev, blocks, time: event.time }).draft().ok()
        }
        _ => None,
    }
}

/// The error of a stream that has not got as far as its reader.
const FUTURE_CURSOR: &str = "FutureCursor";
