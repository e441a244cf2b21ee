//! A memory that becomes public: out of the private store and into the repository, both or neither.

use murmuration_platform::Entropy;
use murmuration_syntax::RepoPath;

use crate::{Account, AccountError, Receipt, Value, Write, WriteRequest};

impl Account {
    /// Moves a memory into the repository, under its name. Its key is destroyed and its shares end in the transaction that has the
    /// commit. Writes what a deletion of the memory writes, and what a record that is created does.
    ///
    /// # Errors
    /// [`AccountError::Memory`] when there is no such memory, or it is not `value`; [`AccountError::RecordSwap`] when the repository
    /// has a record of that name. Nothing is changed then.
    pub fn publish_memory(
        &self,
        path: &RepoPath,
        value: Value,
        entropy: &dyn Entropy,
        now: u64,
    ) -> Result<Receipt, AccountError> {
        let mind = self.mind(entropy, now)?;
        self.together(|| {
            mind.memories.delete(mind.keeper(), path, Some(&value.cid()))?;
            let write = Write::Put { path: path.clone(), value, swap: Some(None) };
            let request = WriteRequest { writes: vec![write], ..WriteRequest::default() };
            let mut receipts = self.write(&[request], now);
            receipts.pop().unwrap_or_else(|| Err(AccountError::Turn("no receipt".into())))
        })
    }
}
