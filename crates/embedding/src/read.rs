//! Reading a file without trusting it.

use crate::EmbeddingError;

/// What is left to read.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next bytes.
    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], EmbeddingError> {
        let (head, rest) =
            self.0.split_at_checked(length).ok_or(EmbeddingError::Model("it ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, EmbeddingError> {
        let (head, rest) = self.0.split_first().ok_or(EmbeddingError::Model("it ends too early"))?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next two bytes, the lower first.
    pub(crate) fn u16(&mut self) -> Result<u16, EmbeddingError> {
        let bytes = self.take(2)?.try_into().map_err(|_| EmbeddingError::Model("it ends too early"))?;
        Ok(u16::from_le_bytes(bytes))
    }
}
