//! One resolver for the whole host, over one cache.
//!
//! | age of a cached answer | to show it | to decide who somebody is |
//! |---|---|---|
//! | up to 10 minutes | used | used |
//! | up to 1 hour | used | asked again; fails when nobody answers |
//! | up to 24 hours | asked again; used when nobody answers | the same |
//! | more | asked again; fails when nobody answers | the same |
//!
//! The document of a did:plc is made from its log of operations, which is verified from the genesis on.
//!
//! A clear no (no such DID, no such handle) throws the cached answer away at once. An answer from the future, after the
//! clock stepped back, counts as one of unknown age.
//! <https://atproto.com/specs/did>, <https://atproto.com/guides/identity>

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use murmuration_platform::{Clock, Outbound};
use murmuration_repo::RepoError;
use murmuration_syntax::{Did, Handle, RepoPath};

use crate::{BridgeError, Document, cf, handle, plc, record, web};

/// What an answer is for, which says how old it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Purpose {
    /// To show it. Old answers are better than none.
    Display,
    /// To decide who somebody is. No answer is better than an old one.
    Authentication,
    /// To see what holds now: after a signature failed, or when a client asks for it.
    Refresh,
}

/// What a host has resolved. Lives as long as the isolate; safe to lose at any time.
#[derive(Default)]
pub struct Cache {
    documents: RefCell<Aged<Did, Rc<Document>>>,
    handles: RefCell<Aged<Handle, Did>>,
    /// The documents of did:cf, by the canonical DID.
    aliases: RefCell<Aged<Did, Rc<Document>>>,
    /// Records of other repositories, by DID and path; `None` where it is proven that there is none.
    records: RefCell<Aged<(Did, String), Held>>,
}

/// A record in DAG-CBOR, or none.
type Held = Option<Rc<[u8]>>;

/// Where the resolver asks.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The PLC directory's origin, without a slash at the end.
    pub plc_url: &'a str,
    /// Resolvers that speak the JSON form of DNS over HTTPS, in the order in which they are asked: see [`handle::DOH_URL`].
    pub doh_urls: &'a [String],
    /// Whether a did:web may be on localhost. Only in development.
    pub allow_localhost: bool,
}

/// Resolves DIDs and handles.
#[derive(Clone, Copy)]
pub struct Resolver<'a> {
    cache: &'a Cache,
    sources: Sources<'a>,
    outbound: &'a dyn Outbound,
    clock: &'a dyn Clock,
}

impl<'a> Resolver<'a> {
    /// A resolver over a cache.
    #[must_use]
    pub fn new(
        cache: &'a Cache,
        sources: Sources<'a>,
        outbound: &'a dyn Outbound,
        clock: &'a dyn Clock,
    ) -> Self {
        Self { cache, sources, outbound, clock }
    }

    /// The PLC directory.
    #[must_use]
    pub fn plc(&self) -> plc::Client<'a> {
        plc::Client::new(self.sources.plc_url, self.outbound)
    }

    /// A DID's document.
    ///
    /// # Errors
    /// [`BridgeError::DidNotFound`] and [`BridgeError::DidDeactivated`] when its authority says so,
    /// [`BridgeError::UnsupportedMethod`] for a method other than plc and web, [`BridgeError::Cf`] for a did:cf, which is
    /// found by the one that names it alone ([`Resolver::alias`]), [`BridgeError::Document`] or [`BridgeError::Log`] for
    /// what breaks a rule, and why there was no answer where an old one will not do.
    pub async fn document(&self, did: &Did, purpose: Purpose) -> Result<Rc<Document>, BridgeError> {
        let cached = self.cache.documents.borrow().find(did, self.now());
        if let Some((document, age)) = &cached
            && purpose.takes(*age)
        {
            return Ok(document.clone());
        }
        let fetched = match did.method() {
            "plc" => self.plc().document(did).await,
            "web" => web::document(self.outbound, did, self.sources.allow_localhost).await,
            "cf" => Err(BridgeError::Cf("is found by the did:plc or did:web whose document names it")),
            _ => Err(BridgeError::UnsupportedMethod(did.clone())),
        };
        settle(&self.cache.documents, did, cached, purpose, self.now(), fetched.map(Rc::new))
    }

    /// The DID that a handle resolves to, over DNS and HTTPS. One direction only: whether the DID's document claims the handle
    /// is the caller's to see.
    ///
    /// # Errors
    /// [`BridgeError::HandleNotFound`] and [`BridgeError::HandleAmbiguous`], and why there was no answer where an old one
    /// will not do.
    pub async fn handle(&self, handle: &Handle, purpose: Purpose) -> Result<Did, BridgeError> {
        let cached = self.cache.handles.borrow().find(handle, self.now());
        if let Some((did, age)) = &cached
            && purpose.takes(*age)
        {
            return Ok(did.clone());
        }
        let resolved = handle::resolve(self.outbound, self.sources.doh_urls, handle).await;
        settle(&self.cache.handles, handle, cached, purpose, self.now(), resolved)
    }

    /// The document of the did:cf that a canonical document names, if it names one: from the host that the document names,
    /// after both were found to name each other.
    ///
    /// It is kept under the canonical DID: whoever names somebody else's did:cf, on a host of their own, has won nothing.
    ///
    /// # Errors
    /// [`BridgeError::AliasNotVerified`] when the one names the other and not the other way round, or has no such document;
    /// [`BridgeError::DidDeactivated`] with the did:cf when its agent was deleted; why there was no answer where an old one will not do.
    pub async fn alias(
        &self,
        canonical: &Document,
        purpose: Purpose,
    ) -> Result<Option<Rc<Document>>, BridgeError> {
        let Some(alias) = cf::named_by(canonical) else { return Ok(None) };
        let did = canonical.did();
        let cached = self.cache.aliases.borrow().find(did, self.now());
        let cached = cached.filter(|(document, _)| document.did() == alias.did());
        if let Some((document, age)) = &cached
            && purpose.takes(*age)
        {
            return Ok(Some(document.clone()));
        }
        let fetched = match canonical.pds() {
            Ok(network) => cf::fetch(self.outbound, network, &alias).await,
            Err(error) => Err(error),
        };
        let verified = match fetched {
            Ok(document) => cf::verify(canonical, &document).map(|()| Rc::new(document)),
            Err(error) if error.is_transient() => Err(error),
            Err(error @ BridgeError::DidDeactivated(_)) => Err(error),
            Err(_) => Err(BridgeError::AliasNotVerified(alias.did().clone())),
        };
        settle(&self.cache.aliases, did, cached, purpose, self.now(), verified).map(Some)
    }

    /// A record of the repository of a DID, in DAG-CBOR, proven by the key of its document; `None` when it is proven that there is
    /// none.
    ///
    /// # Errors
    /// As [`Resolver::document`]; [`BridgeError::Proof`] and [`BridgeError::Unproven`] when its host does not prove it.
    pub async fn record(&self, did: &Did, path: &RepoPath, purpose: Purpose) -> Result<Held, BridgeError> {
        let key = (did.clone(), path.to_string());
        let cached = self.cache.records.borrow().find(&key, self.now());
        if let Some((record, age)) = &cached
            && purpose.takes(*age)
        {
            return Ok(record.clone());
        }
        let document = self.document(did, purpose).await?;
        let fetched = match record::fetch(self.outbound, &document, path).await {
            // The key may be another by now.
            Err(BridgeError::Proof(RepoError::Signature)) => {
                let document = self.document(did, Purpose::Refresh).await?;
                record::fetch(self.outbound, &document, path).await
            }
            other => other,
        };
        let fetched = fetched.map(|record| record.map(Rc::from));
        settle(&self.cache.records, &key, cached, purpose, self.now(), fetched)
    }

    /// Forgets what was resolved about a DID.
    pub fn forget(&self, did: &Did) {
        self.cache.documents.borrow_mut().remove(did);
        self.cache.aliases.borrow_mut().remove(did);
    }

    fn now(&self) -> u64 {
        self.clock.now_micros()
    }
}

impl Purpose {
    /// Whether a cached answer of this age is used without asking. Not even one learnt in this very instant, when it is
    /// to be refreshed: the clock may stand still.
    fn takes(self, age: Option<u64>) -> bool {
        age.is_some_and(|age| match self {
            Self::Display => age <= STALE_MICROS,
            Self::Authentication => age <= AUTHENTICATION_MICROS,
            Self::Refresh => false,
        })
    }
}

/// A cached answer, and its age where that is known.
type Cached<V> = Option<(V, Option<u64>)>;

/// What is answered, and what the cache keeps, after the authority was asked.
fn settle<K: Clone + Ord, V: Clone>(
    cache: &RefCell<Aged<K, V>>,
    key: &K,
    cached: Cached<V>,
    purpose: Purpose,
    now: u64,
    answer: Result<V, BridgeError>,
) -> Result<V, BridgeError> {
    match (answer, cached) {
        (Ok(value), _) => {
            cache.borrow_mut().insert(key.clone(), value.clone(), now);
            Ok(value)
        }
        (Err(error), Some((old, Some(age))))
            if error.is_transient() && purpose == Purpose::Display && age <= EXPIRY_MICROS =>
        {
            Ok(old)
        }
        (Err(error), _) => {
            if !error.is_transient() {
                cache.borrow_mut().remove(key);
            }
            Err(error)
        }
    }
}

/// Values with the time at which they were learnt. The oldest go when there are too many.
struct Aged<K, V> {
    entries: BTreeMap<K, (V, u64)>,
}

impl<K, V> Default for Aged<K, V> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Clone + Ord, V: Clone> Aged<K, V> {
    /// The value and its age; no age when it was learnt in the future.
    fn find(&self, key: &K, now: u64) -> Cached<V> {
        self.entries.get(key).map(|(value, learnt)| (value.clone(), now.checked_sub(*learnt)))
    }

    fn insert(&mut self, key: K, value: V, now: u64) {
        self.entries.insert(key, (value, now));
        if self.entries.len() > MAX_ENTRIES {
            let oldest =
                self.entries.iter().min_by_key(|(_, (_, learnt))| *learnt).map(|(key, _)| key.clone());
            oldest.and_then(|key| self.entries.remove(&key));
        }
    }

    fn remove(&mut self, key: &K) {
        self.entries.remove(key);
    }
}

/// The age up to which an answer is used without asking again (reference implementation: 1 hour).
const STALE_MICROS: u64 = 60 * 60 * 1_000_000;
/// The age after which an answer is not used at all (specification: at most 24 hours).
const EXPIRY_MICROS: u64 = 24 * STALE_MICROS;
/// The age up to which an answer may decide who somebody is (this project: 10 minutes).
const AUTHENTICATION_MICROS: u64 = 10 * 60 * 1_000_000;
/// Entries of each kind. A document takes a few kilobytes, at worst 64, and an agent's keys 50: an isolate has 128 MB.
const MAX_ENTRIES: usize = 500;
