//! The blob storage, and calls of an object that want something of it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::ready;

use murmuration_account::Account;
use murmuration_platform::{Blobs, BlobsError, BlobsFuture, Clock};
use murmuration_xrpc::XrpcError;
use murmuration_xrpc::agent::memory::{sweep_blobs, with_blobs};
use murmuration_xrpc::http::{Chunk, Chunks};

use super::{Objects, block_on};

/// Bytes by their names.
#[derive(Default)]
pub struct Bucket {
    pub bytes: RefCell<BTreeMap<String, Vec<u8>>>,
    /// Nothing can be read or deleted.
    pub is_away: Cell<bool>,
    /// What is stored is stored, but whoever stores it is not told.
    pub is_mute: Cell<bool>,
}

impl Bucket {
    fn answer<T: 'static>(&self, act: impl FnOnce() -> T) -> BlobsFuture<'static, T> {
        let away = || BlobsError("away".into());
        Box::pin(ready(if self.is_away.get() { Err(away()) } else { Ok(act()) }))
    }

    pub fn len(&self) -> usize {
        self.bytes.borrow().len()
    }

    /// A streamed body to its end.
    pub fn read(&self, mut chunks: Chunks) -> Vec<u8> {
        let mut text = Vec::new();
        while let Some(chunk) = chunks() {
            text.extend(match chunk.unwrap() {
                Chunk::Ready(bytes) => bytes,
                Chunk::Of(name, make) => make(self.bytes.borrow().get(&name).cloned()).unwrap(),
            });
        }
        assert!(chunks().is_none());
        text
    }
}

impl Blobs for Bucket {
    fn put<'a>(&'a self, name: &'a str, bytes: &'a [u8]) -> BlobsFuture<'a, ()> {
        let stored = self.answer(|| {
            self.bytes.borrow_mut().insert(name.to_owned(), bytes.to_vec());
        });
        match self.is_mute.get() {
            true => Box::pin(ready(Err(BlobsError("no answer".into())))),
            false => stored,
        }
    }

    fn get<'a>(&'a self, name: &'a str, limit: usize) -> BlobsFuture<'a, Option<Vec<u8>>> {
        self.answer(|| self.bytes.borrow().get(name).filter(|bytes| bytes.len() <= limit).cloned())
    }

    fn delete<'a>(&'a self, name: &'a str) -> BlobsFuture<'a, ()> {
        self.answer(|| {
            self.bytes.borrow_mut().remove(name);
        })
    }
}

impl Objects {
    /// Runs a call of an object as the Worker does.
    pub fn run<T>(
        &self,
        account: &Account,
        call: impl Fn(&dyn Clock) -> Result<T, XrpcError>,
    ) -> Result<T, XrpcError> {
        block_on(with_blobs(account, &self.bucket, &*self.clock, async || Ok(()), call))?
    }

    /// What the alarm of an object does with what its memories had in the blob storage.
    pub fn sweep(&self, account: &Account) {
        block_on(sweep_blobs(account, &self.bucket, &*self.clock)).unwrap();
    }
}
