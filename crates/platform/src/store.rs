//! Synchronous SQL, as a Durable Object's storage gives it.
//!
//! Statements run in SQLite's dialect within the platform's limits: 100 bound parameters, 100 kB a statement, 2 MB a row.
//! Integers beyond ±(2^53 - 1) do not survive the trip through JavaScript, so callers store larger ones as text.

use thiserror::Error;

/// A bound parameter. Borrowed: a call copies it once, into the engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param<'a> {
    /// SQL NULL.
    Null,
    /// A whole number within ±(2^53 - 1).
    Int(i64),
    /// UTF-8 text.
    Text(&'a str),
    /// Bytes.
    Blob(&'a [u8]),
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Blob(bytes)
    }
}

impl From<i64> for Param<'_> {
    fn from(number: i64) -> Self {
        Self::Int(number)
    }
}

/// A column of a result row.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// SQL NULL.
    Null,
    /// A whole number.
    Int(i64),
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// A result row, read by position.
///
/// Each reader takes the value out, so a large blob is moved, never copied.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row(Vec<Column>);

impl Row {
    /// Makes a row of its columns, in the order of the SELECT list.
    #[must_use]
    pub fn new(columns: Vec<Column>) -> Self {
        Self(columns)
    }

    fn take(&mut self, index: usize) -> Result<Column, StoreError> {
        self.0
            .get_mut(index)
            .map(|column| std::mem::replace(column, Column::Null))
            .ok_or(StoreError::Shape { index, wanted: "a column" })
    }

    /// Takes a whole number.
    ///
    /// # Errors
    /// [`StoreError::Shape`] when the column is missing or of another type.
    pub fn int(&mut self, index: usize) -> Result<i64, StoreError> {
        match self.take(index)? {
            Column::Int(number) => Ok(number),
            _ => Err(StoreError::Shape { index, wanted: "an integer" }),
        }
    }

    /// Takes text.
    ///
    /// # Errors
    /// [`StoreError::Shape`] when the column is missing or of another type.
    pub fn text(&mut self, index: usize) -> Result<String, StoreError> {
        match self.take(index)? {
            Column::Text(text) => Ok(text),
            _ => Err(StoreError::Shape { index, wanted: "text" }),
        }
    }

    /// Takes bytes.
    ///
    /// # Errors
    /// [`StoreError::Shape`] when the column is missing or of another type.
    pub fn blob(&mut self, index: usize) -> Result<Vec<u8>, StoreError> {
        match self.take(index)? {
            Column::Blob(bytes) => Ok(bytes),
            _ => Err(StoreError::Shape { index, wanted: "a blob" }),
        }
    }

    /// Takes a whole number, or `None` for NULL.
    ///
    /// # Errors
    /// [`StoreError::Shape`] when the column is missing or of another type.
    pub fn opt_int(&mut self, index: usize) -> Result<Option<i64>, StoreError> {
        match self.take(index)? {
            Column::Null => Ok(None),
            Column::Int(number) => Ok(Some(number)),
            _ => Err(StoreError::Shape { index, wanted: "an integer or NULL" }),
        }
    }

    /// Takes text, or `None` for NULL.
    ///
    /// # Errors
    /// [`StoreError::Shape`] when the column is missing or of another type.
    pub fn opt_text(&mut self, index: usize) -> Result<Option<String>, StoreError> {
        match self.take(index)? {
            Column::Null => Ok(None),
            Column::Text(text) => Ok(Some(text)),
            _ => Err(StoreError::Shape { index, wanted: "text or NULL" }),
        }
    }

    /// Takes bytes, or `None` for NULL.
    ///
    /// # Errors
    /// [`StoreError::Shape`] when the column is missing or of another type.
    pub fn opt_blob(&mut self, index: usize) -> Result<Option<Vec<u8>>, StoreError> {
        match self.take(index)? {
            Column::Null => Ok(None),
            Column::Blob(bytes) => Ok(Some(bytes)),
            _ => Err(StoreError::Shape { index, wanted: "a blob or NULL" }),
        }
    }
}

/// Rows that the engine counted since the store was opened; what Cloudflare bills.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RowCounts {
    /// Rows read.
    pub read: u64,
    /// Rows written, index entries included.
    pub written: u64,
    /// Statements run.
    pub statements: u64,
}

/// Why a statement failed. Nothing of the failed transaction remains.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The engine refused the statement.
    #[error("storage: {0}")]
    Engine(String),
    /// A value or a row would be larger than the engine allows.
    #[error("storage: a value is too large")]
    TooLarge,
    /// A row did not have the shape that the statement promises.
    #[error("storage: column {index} is not {wanted}")]
    Shape {
        /// Position in the SELECT list.
        index: usize,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The stored bytes are not what this code wrote: corruption, or a version this code does not know.
    #[error("storage: corrupt: {0}")]
    Corrupt(String),
}

/// The storage of one object. All calls are synchronous; an object has one caller at a time.
pub trait Store {
    /// Runs one statement and collects its rows.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the engine refuses it.
    fn query(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        self.query_within(sql, params, usize::MAX)
    }

    /// As [`Store::query`], but keeps no row behind the one with which texts and blobs pass `max_bytes`: for rows that a
    /// stranger may have made large. The first row always comes.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the engine refuses it.
    fn query_within(&self, sql: &str, params: &[Param<'_>], max_bytes: usize)
    -> Result<Vec<Row>, StoreError>;

    /// Runs `body` in a transaction (a savepoint when nested): kept when it answers `true`, undone when it answers
    /// `false` or panics. Prefer [`transaction`], which carries values and errors.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the engine cannot begin or keep it.
    fn transact(&self, body: &mut dyn FnMut() -> bool) -> Result<(), StoreError>;

    /// The rows counted so far.
    fn counts(&self) -> RowCounts;

    /// Bytes that are stored, free pages not counted. It reads no rows.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when the engine does not say.
    fn size(&self) -> Result<u64, StoreError>;
}

/// Runs `body` in a transaction of `store`: kept on `Ok`, undone on `Err`.
///
/// # Errors
/// The error of `body`, or the store's own when it cannot begin or keep the transaction.
pub fn transaction<T, E: From<StoreError>>(
    store: &dyn Store,
    body: impl FnOnce() -> Result<T, E>,
) -> Result<T, E> {
    let mut body = Some(body);
    let mut outcome = None;
    let kept = store.transact(&mut || {
        let result = body.take().map(|body| body());
        let keep = matches!(result, Some(Ok(_)));
        outcome = result;
        keep
    });
    match (outcome, kept) {
        (Some(Ok(value)), Ok(())) => Ok(value),
        (Some(Err(error)), _) => Err(error),
        (_, Err(error)) => Err(error.into()),
        (None, Ok(())) => Err(StoreError::Engine("the transaction did not run".into()).into()),
    }
}
