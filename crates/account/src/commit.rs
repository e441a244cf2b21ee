//! How a call's writes become one commit.
//!
//! Everything that can refuse runs before the first statement that writes: the write limits, the swaps, the blobs, the
//! size of the event, and the last line of defence, in which the finished event is checked as a relay would check it, its
//! inversion included. A refusal leaves the account untouched, and the other calls of the same turn go on.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use murmuration_data::{Cid, cbor};
use murmuration_firehose::{CommitEvent, CommitParts, Event, FirehoseError, Timestamp, verify_commit};
use murmuration_platform::{Store, StoreError};
use murmuration_repo::{Change, Commit, Edit, Key, RepoError};
use murmuration_syntax::Rev;

use crate::account::{Account, Head, Open, clock_id};
use crate::export::Shadow;
use crate::log::MAX_TURN_BYTES;
use crate::record::Stored;
use crate::write::{CommitRef, Receipt, Value, Write, WriteRequest};
use crate::{AccountError, backlink, blob, record};

/// Pages that wait for a checkpoint at the most. With the tail of the log this bounds what waking reads.
const MAX_DIRTY_PAGES: usize = 6;

/// What becomes of the records that a call names; the last write of each counts.
type Staged<'a> = BTreeMap<Key, Option<&'a Value>>;
/// What a commit does to one record's row: its new value, or `None` to remove it.
type Effect<'a> = (&'a Key, Option<&'a Value>);

/// A record that is stored, with what its row does not say.
pub(crate) struct NewRecord<'a> {
    pub(crate) cid: Cid,
    pub(crate) bytes: &'a [u8],
    /// The blobs that it refers to.
    pub(crate) blobs: Vec<Cid>,
    /// The subject that it must be the only one of, in its collection.
    pub(crate) subject: Option<&'a str>,
}

/// The storing of one commit's records.
pub(crate) struct Recording<'a> {
    store: &'a dyn Store,
    rev: Rev,
    now: u64,
    /// Blobs that a record has let go of; another record of the commit may have taken them up.
    let_go: BTreeSet<Cid>,
}

impl<'a> Recording<'a> {
    pub(crate) const fn new(store: &'a dyn Store, rev: Rev, now: u64) -> Self {
        Self { store, rev, now, let_go: BTreeSet::new() }
    }

    /// Condemns the blobs that no record refers to any more. Answers whether there are any.
    pub(crate) fn finish(self) -> Result<bool, StoreError> {
        let mut condemned = false;
        for cid in &self.let_go {
            condemned |= blob::condemn_unused(self.store, cid, self.now)?;
        }
        Ok(condemned)
    }
}

impl Account {
    /// Writes the calls that arrived together, each as a commit of its own, in one transaction.
    ///
    /// The answers are in the order of the calls. A call that is refused changes nothing and does not disturb the
    /// others; a failure of the storage undoes and fails all. Nobody writes into an account that is not active: a call was admitted
    /// before it waited for its turn, and a commit behind the event that says so is one that relays drop.
    pub fn write(&self, requests: &[WriteRequest], now: u64) -> Vec<Result<Receipt, AccountError>> {
        let turn = self.change(|open| {
            let mut answers = Vec::with_capacity(requests.len());
            let mut drafts = Vec::new();
            for request in requests {
                let served =
                    open.profile.inactive().map_or(Ok(()), |status| Err(AccountError::Inactive(status)));
                let admitted = served
                    .and_then(|()| self.charge(open, request, now))
                    .and_then(|()| self.judge_keys(open, request));
                match admitted.and_then(|()| open.commit(&*self.store, request, now)) {
                    Ok((receipt, draft)) => {
                        let size =
                            |drafts: &[Vec<u8>]| drafts.iter().map(|draft| draft.len() + 4).sum::<usize>();
                        if let Some(draft) = draft {
                            if size(&drafts) + draft.len() + 4 > MAX_TURN_BYTES {
                                open.end_turn(&std::mem::take(&mut drafts), now)?;
                            }
                            drafts.push(draft);
                        }
                        answers.push(Ok(receipt));
                    }
                    Err(refusal) if refusal.is_refusal() => answers.push(Err(refusal)),
                    Err(failure) => return Err(failure),
                }
            }
            open.end_turn(&drafts, now)?;
            Ok(answers)
        });
        turn.unwrap_or_else(|failure| {
            let text = failure.to_string();
            let vacant = matches!(failure, AccountError::Vacant);
            requests
                .iter()
                .map(|_| Err(if vacant { AccountError::Vacant } else { AccountError::Turn(text.clone()) }))
                .collect()
        })
    }
}

impl Open {
    /// Makes one commit, or refuses. The draft of its event is for the turn to store.
    pub(crate) fn commit(
        &mut self,
        store: &dyn Store,
        request: &WriteRequest,
        now: u64,
    ) -> Result<(Receipt, Option<Vec<u8>>), AccountError> {
        if request.swap_commit.is_some_and(|expected| expected != self.head.cid) {
            return Err(AccountError::CommitSwap { current: self.head.cid });
        }
        let mut edit = Edit::new(&self.tree, self.tree.root());
        let mut staged = Staged::new();
        let mut records = Vec::with_capacity(request.writes.len());
        for write in &request.writes {
            records.push(stage(store, &mut edit, write, &mut staged)?);
        }
        let change = edit.finish().map_err(outgrown)?;
        if change.ops.is_empty() {
            return Ok((Receipt { commit: None, records }, None));
        }
        let effects: Vec<Effect<'_>> =
            change.ops.iter().map(|op| (&op.path, staged.get(&op.path).copied().flatten())).collect();
        for (path, value) in &effects {
            let blobs = value.map(Value::blobs).unwrap_or_default();
            blobs.iter().try_for_each(|reference| blob::check(store, reference, path.as_str()))?;
        }
        let rev = Rev::next(now, clock_id(&self.profile.did), Some(self.head.rev));
        let commit = Commit::sign(&self.profile.did, change.root, rev, &self.key)?;
        let head = Head::of(&commit)?;
        let draft = self.event(&change, &commit, &head, &effects, &Timestamp::from_micros(now))?;

        let mut recording = Recording::new(store, rev, now);
        for (op, (path, value)) in change.ops.iter().zip(&effects) {
            // The tree knows what there was, so a new record needs no look.
            let old = op.prev.map_or(Ok(None), |_| record::one(store, path.as_str()))?;
            let new = value.map(|value| NewRecord {
                cid: value.cid(),
                bytes: value.bytes(),
                blobs: value.blobs().iter().map(|reference| reference.cid).collect(),
                subject: value.subject(),
            });
            self.store_record(&mut recording, path, old.as_ref(), new.as_ref())?;
        }
        self.blobs_touched |= recording.finish()?;
        self.tree.apply(&change, rev);
        self.head = head;
        let commit = CommitRef { cid: self.head.cid, rev };
        Ok((Receipt { commit: Some(commit), records }, Some(draft)))
    }

    /// The event of a commit, checked as a relay checks it.
    fn event(
        &self,
        change: &Change,
        commit: &Commit,
        head: &Head,
        effects: &[Effect<'_>],
        time: &Timestamp,
    ) -> Result<Vec<u8>, AccountError> {
        let records: Vec<(Cid, &[u8])> =
            effects.iter().filter_map(|(_, new)| *new).map(|value| (value.cid(), value.bytes())).collect();
        let built = CommitEvent::build(&CommitParts {
            commit,
            cid: head.cid,
            block: &head.block,
            since: Some(self.head.rev),
            change,
            nodes: &self.tree,
            records: &records,
            time,
        });
        let event = built.map_err(|error| match error {
            FirehoseError::TooLarge { .. } => AccountError::CommitTooLarge,
            other => other.into(),
        })?;
        let before = murmuration_firehose::Head { rev: self.head.rev, data: self.head.data };
        // The host's own clock is no reason to refuse: when it steps back, revs go on from the last.
        let clock = head.rev.micros();
        verify_commit(&event, Some(&before), &self.key, clock)?;
        Ok(Event::Commit(event).draft()?)
    }

    /// Stores or removes one record, with what hangs on it.
    pub(crate) fn store_record(
        &mut self,
        recording: &mut Recording<'_>,
        path: &Key,
        old: Option<&Stored>,
        new: Option<&NewRecord<'_>>,
    ) -> Result<(), AccountError> {
        let Recording { store, rev, now, let_go } = recording;
        let (store, collection) = (*store, path.path()?.collection);
        let path = path.as_str();
        for shadow in self.live_exports() {
            shadow.borrow_mut().keep_record(path, old);
        }
        let old_blobs = match old {
            Some(old) => {
                let value = cbor::decode(&old.value)?;
                backlink::remove(store, &collection, &value, path)?;
                blob::of_record(&value)
            }
            None => Vec::new(),
        };
        match new {
            Some(new) => {
                record::put(store, path, *rev, &new.cid, new.bytes)?;
                new.blobs.iter().try_for_each(|cid| blob::reference(store, cid, path, *rev, *now))?;
                backlink::add(store, &collection, new.subject, path)?;
            }
            None => record::delete(store, path)?,
        }
        let kept = |cid: &Cid| new.is_some_and(|new| new.blobs.contains(cid));
        for old in old_blobs.into_iter().filter(|old| !kept(old)) {
            blob::dereference(store, &old, path)?;
            let_go.insert(old);
        }
        Ok(())
    }

    /// The exports that go on, which must not miss what is about to be lost.
    pub(crate) fn live_exports(&mut self) -> Vec<Rc<RefCell<Shadow>>> {
        self.exports.retain(|export| export.strong_count() > 0);
        self.exports.iter().filter_map(Weak::upgrade).collect()
    }

    /// Stores the events of a turn, and the tree's pages if it is time for a checkpoint.
    pub(crate) fn end_turn(&mut self, drafts: &[Vec<u8>], now: u64) -> Result<(), AccountError> {
        if drafts.is_empty() {
            return Ok(());
        }
        let checkpoint = self.log.wants_checkpoint() || self.tree.dirty_pages() >= MAX_DIRTY_PAGES;
        if checkpoint {
            let live = self.live_exports();
            self.tree.checkpoint(!live.is_empty(), &mut |cid, body| {
                let body: Rc<[u8]> = body.into();
                live.iter().for_each(|shadow| shadow.borrow_mut().keep_page(cid, Rc::clone(&body)));
            })?;
        }
        Ok(self.log.append(&self.head.block, drafts, checkpoint, now)?)
    }
}

/// Puts one write into the edit, and says what the record is afterwards.
fn stage<'a>(
    store: &dyn Store,
    edit: &mut Edit<'_>,
    write: &'a Write,
    staged: &mut Staged<'a>,
) -> Result<Option<Cid>, AccountError> {
    let path = write.path();
    let current = edit.get(path)?;
    let new = match write {
        Write::Create { value, replaces, .. } => {
            if current.is_some() {
                return Err(AccountError::RecordExists(path.clone()));
            }
            if let (true, Some(subject)) = (replaces, value.subject()) {
                for other in backlink::of(store, &path.collection, subject)? {
                    if edit.delete(&other)?.is_some() {
                        staged.insert(Key::from(other), None);
                    }
                }
            }
            Some(value)
        }
        Write::Update { value, .. } => {
            current.ok_or_else(|| AccountError::NoSuchRecord(path.clone()))?;
            Some(value)
        }
        Write::Put { value, swap, .. } => {
            if swap.is_some_and(|expected| expected != current) {
                return Err(AccountError::RecordSwap { current });
            }
            Some(value)
        }
        Write::Delete { swap, must_exist, .. } => {
            if current.is_none() && *must_exist {
                return Err(AccountError::NoSuchRecord(path.clone()));
            }
            // What is gone already is as the caller wants it, whatever it was before.
            if current.is_some() && swap.is_some_and(|expected| Some(expected) != current) {
                return Err(AccountError::RecordSwap { current });
            }
            None
        }
    };
    let wanted = new.map(Value::cid);
    if wanted != current {
        match wanted {
            Some(cid) => edit.put(path, cid).map_err(outgrown)?,
            None => edit.delete(path)?,
        };
        staged.insert(Key::from(path), new);
    }
    Ok(wanted)
}

/// A write that would make a node or the tree larger than readers take is the caller's mistake: keys can be chosen so that
/// they all fall into one node.
fn outgrown(error: RepoError) -> AccountError {
    match error {
        RepoError::TooLarge { .. } | RepoError::LayerLimit { .. } => {
            AccountError::InvalidWrite(format!("The record keys do not fit the repository's tree: {error}"))
        }
        other => other.into(),
    }
}

/// The first commit's event: of an empty repository, with nothing before it.
pub(crate) fn first(
    commit: &Commit,
    head: &Head,
    change: &Change,
    time: &Timestamp,
) -> Result<CommitEvent, AccountError> {
    Ok(CommitEvent::build(&CommitParts {
        commit,
        cid: head.cid,
        block: &head.block,
        since: None,
        change,
        nodes: &change.nodes(),
        records: &[],
        time,
    })?)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use murmuration_data::{Ipld, cid_of_cbor};
    use murmuration_keys::seal::Kek;
    use murmuration_keys::{Curve, SigningKey};
    use murmuration_platform::Entropy;
    use murmuration_platform::sqlite::SqliteStore;
    use murmuration_syntax::{Did, Handle, RepoPath};

    use super::*;
    use crate::NewAccount;

    const NOW: u64 = 1_795_000_000_000_000;

    struct Fixed;

    impl Entropy for Fixed {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill(9);
        }
    }

    fn account() -> (Rc<SqliteStore>, Account) {
        let store = Rc::new(SqliteStore::open().unwrap());
        let account = Account::new(store.clone(), Kek { version: 1, key: [3; 32] }, true);
        let new = NewAccount {
            did: Did::parse("did:plc:ewvi7nxzyoun6zhxrhs64oiz").unwrap(),
            handle: Handle::parse("alice.test").unwrap(),
            email: None,
            password: "a password".into(),
            signing_key: SigningKey::from_bytes(Curve::K256, &[5; 32]).unwrap(),
            deactivated: false,
        };
        account.create(new, &Fixed, NOW).unwrap();
        (store, account)
    }

    fn create(rkey: &str) -> WriteRequest {
        let bytes = cbor::encode(&Ipld::String(rkey.into())).unwrap();
        let path = RepoPath::parse(&format!("com.example.note/{rkey}")).unwrap();
        let value = Value::new(bytes, Vec::new(), None);
        let writes = vec![Write::Create { path, value, replaces: false }];
        WriteRequest { writes, ..WriteRequest::default() }
    }

    /// The last line of defence: memory has gone wrong, and everything else would let the commit pass.
    #[test]
    fn a_commit_that_a_relay_would_refuse_is_not_stored() {
        let (store, account) = account();
        account.write(&[create("a")], NOW + 1).remove(0).unwrap();
        let head = account.head().unwrap();
        let written = store.counts().written;
        account
            .read(|open| {
                open.head.data = cid_of_cbor(b"another tree");
                Ok(())
            })
            .unwrap();
        let answers = account.write(&[create("b"), create("c")], NOW + 2);
        assert!(answers.iter().all(|answer| matches!(answer, Err(AccountError::Unpublishable(_)))));
        assert_eq!(store.counts().written, written);
        account.forget();
        assert_eq!(account.head().unwrap(), head);
        account.write(&[create("b")], NOW + 3).remove(0).unwrap();
    }

    #[test]
    fn an_account_that_is_only_read_forgets_the_exports_that_are_over() {
        let (_, account) = account();
        let going = account.export(None).unwrap();
        for _ in 0..10 {
            drop(account.export(None).unwrap());
        }
        let count = account.read(|open| Ok(open.exports.len())).unwrap();
        assert!(count <= 2, "{count} exports are remembered");
        drop(going);
    }
}
