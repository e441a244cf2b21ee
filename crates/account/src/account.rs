//! The account itself: what is in memory, and how a turn goes.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use murmuration_comms::Comms;
use murmuration_data::Cid;
use murmuration_firehose::{AccountEvent, Event, IdentityEvent, SyncEvent, Timestamp};
use murmuration_keyring::Ring;
use murmuration_keys::seal::Keks;
use murmuration_keys::{Curve, SIGNATURE_BYTES, SigningKey};
use murmuration_memory::Memories;
use murmuration_platform::{Entropy, Store, StoreError, transaction};
use murmuration_rate::Status;
use murmuration_repo::{Change, Commit, Created, Node};
use murmuration_syntax::{Did, Handle, Rev, Tid};

use crate::export::Shadow;
use crate::log::Log;
use crate::profile::Since;
use crate::tree::Tree;
use crate::{AccountError, Profile, WriteRequest, password, profile, replay, schema};

/// What the host knows when it makes an account.
pub struct NewAccount {
    /// The account's DID; the directory of its method knows it already.
    pub did: Did,
    /// Its handle.
    pub handle: Handle,
    /// Its e-mail address, if it gave one.
    pub email: Option<String>,
    /// Its password.
    pub password: String,
    /// The secret key that signs its commits; its public half stands in the DID document.
    pub signing_key: SigningKey,
    /// Whether it begins deactivated, because it moves in from another host: then no event tells of it yet.
    pub deactivated: bool,
}

/// The last commit.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    /// The hash of the commit.
    pub cid: Cid,
    /// Its revision.
    pub rev: Rev,
    /// The root of its tree.
    pub data: Cid,
    /// The commit, in DAG-CBOR.
    pub block: Rc<[u8]>,
}

/// An account on one object's storage.
///
/// All calls are synchronous and whole: each leaves memory and storage agreeing. Memory is filled at the first call;
/// when a write fails, memory is dropped and the next call fills it from storage again.
pub struct Account {
    pub(crate) store: Rc<dyn Store>,
    pub(crate) keks: Keks,
    events_taken: bool,
    limited: bool,
    pub(crate) comms: Comms,
    pub(crate) memories: Memories,
    /// Whether sessions were ended since the host last asked.
    pub(crate) sessions_ended: Cell<bool>,
    open: RefCell<Option<Open>>,
}

/// An account in memory.
pub(crate) struct Open {
    pub(crate) profile: Rc<Profile>,
    pub(crate) key: SigningKey,
    pub(crate) head: Head,
    pub(crate) tree: Tree,
    pub(crate) log: Log,
    pub(crate) exports: Vec<Weak<RefCell<Shadow>>>,
    /// The last record key that was made here.
    pub(crate) last_tid: Option<Tid>,
    /// Whether blobs were uploaded or condemned since the host last asked.
    pub(crate) blobs_touched: bool,
    /// The agent's keys, once somebody has asked for them.
    pub(crate) ring: Option<Rc<Ring>>,
    /// Whether an epoch was begun since the host last asked.
    pub(crate) keys_touched: bool,
    /// Whether something is sealed under an older key-encryption key than the newest.
    pub(crate) behind: bool,
}

impl Account {
    /// The account that `store` holds, if it holds one. `events_taken` says that the relay is known to have every
    /// event of it: false makes it send the last ones again.
    #[must_use]
    pub fn new(store: Rc<dyn Store>, keks: impl Into<Keks>, events_taken: bool) -> Self {
        let comms = Comms::new(Rc::clone(&store));
        let memories = Memories::new(Rc::clone(&store));
        let (sessions_ended, open) = (Cell::new(false), RefCell::new(None));
        Self { store, keks: keks.into(), events_taken, limited: false, comms, memories, sessions_ended, open }
    }

    /// The same account, which may write only so much an hour and a day.
    #[must_use]
    pub fn limited(mut self, limited: bool) -> Self {
        self.limited = limited;
        self
    }

    /// Makes the account: its first commit, of an empty repository, and the events that announce it, in one turn.
    ///
    /// # Errors
    /// [`AccountError::Occupied`] if there is an account; otherwise as its parts.
    pub fn create(&self, new: NewAccount, entropy: &dyn Entropy, now: u64) -> Result<(), AccountError> {
        match self.read_remains(|_| Ok(())) {
            Ok(()) => return Err(AccountError::Occupied),
            Err(AccountError::Vacant) => {}
            Err(error) => return Err(error),
        }
        let password = password::hash(&new.password, entropy)?;
        let sealed = self.seal(&secret_name(&new.did), &*new.signing_key.to_bytes(), entropy);
        let profile = Profile {
            did: new.did,
            handle: new.handle,
            email: new.email,
            email_confirmed: false,
            deactivated: new.deactivated,
            delete_after: None,
            takedown: None,
            deleted: false,
            document_changing_since: None,
            password,
            since: Since { created: now, email_confirmed: None, deactivated: new.deactivated.then_some(now) },
        };

        let rev = Rev::next(now, clock_id(&profile.did), None);
        let change = first_tree();
        let commit = Commit::sign(&profile.did, murmuration_repo::empty_root(), rev, &new.signing_key)?;
        let head = Head::of(&commit)?;
        let mut tree = Tree::empty(Rc::clone(&self.store), &change, rev);
        // One that moves in says nothing before it is activated.
        let drafts = match new.deactivated {
            true => Vec::new(),
            false => genesis(&profile, &commit, &head, &change, now)?,
        };
        let mut log = Log::new(Rc::clone(&self.store), now);
        transaction(&*self.store, || -> Result<(), AccountError> {
            schema::create(&*self.store)?;
            profile.insert(&*self.store, &sealed)?;
            tree.checkpoint(false, &mut |_, _| {})?;
            Ok(log.append(&head.block, &drafts, true, now)?)
        })?;
        let profile = Rc::new(profile);
        let open = Open {
            profile,
            key: new.signing_key,
            head,
            tree,
            log,
            exports: Vec::new(),
            last_tid: None,
            blobs_touched: false,
            ring: None,
            keys_touched: false,
            behind: false,
        };
        self.open.replace(Some(open));
        Ok(())
    }

    /// Forgets what is in memory: the storage was wiped.
    pub fn forget(&self) {
        self.comms.forget();
        self.memories.forget();
        self.open.replace(None);
    }

    /// Makes several calls as one: all of them hold, or none does, and then memory is dropped.
    ///
    /// # Errors
    /// The first that a call answers with; otherwise the storage's.
    pub fn together<T, E: From<AccountError>>(&self, calls: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        // The storage knows its own errors alone, so that of the calls goes round it.
        let mut refused = None;
        let kept = transaction(&*self.store, || {
            calls().map_err(|error| {
                refused = Some(error);
                StoreError::Engine("undone".into())
            })
        });
        kept.map_err(|error| {
            self.forget();
            refused.unwrap_or_else(|| AccountError::from(error).into())
        })
    }

    /// The messages that it has sent and got.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn comms(&self) -> Result<&Comms, AccountError> {
        // Their tables are brought up to date with the account's.
        self.read(|_| Ok(&self.comms))
    }

    /// Who this is.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn profile(&self) -> Result<Rc<Profile>, AccountError> {
        self.read(|open| Ok(Rc::clone(&open.profile)))
    }

    /// The last commit.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn head(&self) -> Result<Head, AccountError> {
        self.read(|open| Ok(open.head.clone()))
    }

    /// The public half of the key that signs the account's commits, as `did:key`.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn signing_key(&self) -> Result<String, AccountError> {
        self.read(|open| Ok(open.key.did_key()))
    }

    /// How what the account may write stands; `None` where there is no limit.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn write_budget(&self, now: u64) -> Result<Option<Status>, AccountError> {
        if !self.limited {
            return Ok(None);
        }
        self.read(|open| Ok(Some(open.log.budget.status(now))))
    }

    /// Refuses a request that costs more than is left of what the account may write.
    pub(crate) fn charge(
        &self,
        open: &mut Open,
        request: &WriteRequest,
        now: u64,
    ) -> Result<(), AccountError> {
        if self.limited && !request.unlimited { open.log.budget.charge(request, now) } else { Ok(()) }
    }

    /// Signs bytes that are no commit with the key that signs the commits: service tokens are.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], AccountError> {
        self.read(|open| Ok(open.key.sign(message)))
    }

    /// Whether this is the account's password. Costs what Argon2id costs, also if there is no account, so that the time
    /// does not tell.
    ///
    /// # Errors
    /// [`AccountError::Vacant`] if there is no account.
    pub fn password_is(&self, password: &str) -> Result<bool, AccountError> {
        match self.profile() {
            Ok(profile) => password::verify(password, &profile.password),
            Err(AccountError::Vacant) => {
                password::verify(password, password::NOBODYS).and(Err(AccountError::Vacant))
            }
            Err(error) => Err(error),
        }
    }

    /// Runs `look` on the account in memory. It writes nothing. An account that was deleted is none.
    pub(crate) fn read<T>(
        &self,
        look: impl FnOnce(&mut Open) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        self.read_remains(|open| if open.profile.deleted { Err(AccountError::Vacant) } else { look(open) })
    }

    /// As [`Account::read`], and what is left of an account that was deleted, too.
    pub(crate) fn read_remains<T>(
        &self,
        look: impl FnOnce(&mut Open) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        let mut slot = self.open.borrow_mut();
        if slot.is_none() {
            *slot = Some(self.load()?);
        }
        slot.as_mut().map_or(Err(AccountError::Vacant), look)
    }

    /// What memory holds, if it holds an account.
    pub(crate) fn peek(&self, look: impl FnOnce(&Open) -> bool) -> bool {
        self.open.borrow().as_ref().is_some_and(look)
    }

    /// Runs `turn` in one transaction. If it fails, nothing is stored and memory is dropped.
    pub(crate) fn change<T>(
        &self,
        turn: impl FnOnce(&mut Open) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        self.read(|_| Ok(()))?;
        self.change_remains(turn)
    }

    /// As [`Account::change`], and what is left of an account that was deleted, too.
    pub(crate) fn change_remains<T>(
        &self,
        turn: impl FnOnce(&mut Open) -> Result<T, AccountError>,
    ) -> Result<T, AccountError> {
        self.read_remains(|_| Ok(()))?;
        let outcome = self.read_remains(|open| transaction(&*self.store, || turn(open)));
        if outcome.is_err() {
            self.forget();
        }
        outcome
    }

    fn load(&self) -> Result<Open, AccountError> {
        let mut row = schema::open(&*self.store, profile::SELECT)?.ok_or(AccountError::Vacant)?;
        let (profile, sealed) = Profile::read(&mut row)?;
        let secret = self.keks.open(&secret_name(&profile.did), &sealed)?;
        let secret = <&[u8; 32]>::try_from(secret.as_slice())
            .map_err(|_| StoreError::Corrupt("the signing key is not 32 bytes".into()))?;
        let key = SigningKey::from_bytes(Curve::K256, secret)?;
        let (log, tail) = Log::open(Rc::clone(&self.store), self.events_taken)?;
        let (tree, head) = replay::replay(Rc::clone(&self.store), &tail)?;
        Ok(Open {
            profile: Rc::new(profile),
            key,
            head,
            tree,
            log,
            exports: Vec::new(),
            last_tid: None,
            blobs_touched: false,
            ring: None,
            keys_touched: false,
            behind: !sealed.starts_with(&self.keks.header()),
        })
    }
}

impl Head {
    /// The head that a signed commit makes.
    pub(crate) fn of(commit: &Commit) -> Result<Self, AccountError> {
        let block: Rc<[u8]> = commit.encode().into();
        Ok(Self { cid: murmuration_data::cid_of_cbor(&block), rev: commit.rev, data: commit.data, block })
    }
}

/// The ten bits that keep the TIDs of two accounts apart when their clocks agree: taken from the DID.
pub(crate) fn clock_id(did: &Did) -> u16 {
    did.as_str().bytes().fold(0, |hash: u16, byte| hash.wrapping_mul(31).wrapping_add(u16::from(byte)))
        & 0x3ff
}

/// The change from no tree at all to the empty one.
fn first_tree() -> Change {
    let (node, root) = (Rc::new(Node::empty()), murmuration_repo::empty_root());
    let created = vec![Created { cid: root, layer: node.layer(), bytes: node.encode(), node }];
    Change { root, prev_root: root, created, removed: Vec::new(), ops: Vec::new() }
}

/// What the sealed signing key is bound to: whose it is, and what for.
pub(crate) fn secret_name(did: &Did) -> Vec<u8> {
    format!("{did} signing").into_bytes()
}

/// The events of a new account, in the reference server's order: identity, account, commit, sync.
fn genesis(
    profile: &Profile,
    commit: &Commit,
    head: &Head,
    change: &Change,
    now: u64,
) -> Result<Vec<Vec<u8>>, AccountError> {
    let time = Timestamp::from_micros(now);
    let did = &profile.did;
    let events = [
        Event::Identity(IdentityEvent {
            did: did.clone(),
            handle: Some(profile.handle.clone()),
            time: time.clone(),
        }),
        Event::Account(AccountEvent { did: did.clone(), inactive: None, time: time.clone() }),
        Event::Commit(crate::commit::first(commit, head, change, &time)?),
        Event::Sync(SyncEvent::build(commit, head.cid, &head.block, &time)),
    ];
    events.iter().map(|event| Ok(event.draft()?)).collect()
}
