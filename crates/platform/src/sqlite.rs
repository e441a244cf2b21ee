//! A [`Store`] over native SQLite, for tests: the same SQL, the same limits, and faults on demand.
//!
//! It counts statements exactly; rows written are counted by an approximation (SQLite's change counter), so the bars
//! on billed rows are asserted in workerd, never here.

use std::cell::{Cell, RefCell};

use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ErrorCode, StatementStatus, ToSql, params_from_iter};

use crate::{Column, Param, Row, RowCounts, Store, StoreError};

/// Bound parameters that the platform allows in a statement.
const MAX_PARAMS: i32 = 100;
/// Bytes of a statement that the platform allows.
const MAX_SQL_BYTES: i32 = 100_000;
/// Bytes of a value and of a row that the platform allows.
const MAX_VALUE_BYTES: i32 = 2_000_000;

/// An in-memory database with the platform's limits.
pub struct SqliteStore {
    connection: RefCell<Connection>,
    counts: Cell<RowCounts>,
    steps: Cell<u64>,
    depth: Cell<u32>,
    fail_in: Cell<Option<u64>>,
}

impl SqliteStore {
    /// Opens an empty database.
    ///
    /// # Errors
    /// [`StoreError::Engine`] when SQLite cannot.
    pub fn open() -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory().map_err(engine)?;
        connection.set_limit(Limit::SQLITE_LIMIT_VARIABLE_NUMBER, MAX_PARAMS).map_err(engine)?;
        connection.set_limit(Limit::SQLITE_LIMIT_SQL_LENGTH, MAX_SQL_BYTES).map_err(engine)?;
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES).map_err(engine)?;
        Ok(Self {
            connection: RefCell::new(connection),
            counts: Cell::default(),
            steps: Cell::new(0),
            depth: Cell::new(0),
            fail_in: Cell::new(None),
        })
    }

    /// Makes the statement after `statements` more fail once. `None` disarms it.
    pub fn fail_after(&self, statements: Option<u64>) {
        self.fail_in.set(statements);
    }

    /// Whether an armed fault has not fired yet.
    #[must_use]
    pub fn fault_armed(&self) -> bool {
        self.fail_in.get().is_some()
    }

    /// Steps that the engine has made. Of a statement they grow with the rows that it looks at, where [`RowCounts::read`] here
    /// counts only those that it answers with.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    fn strike(&self) -> Result<(), StoreError> {
        match self.fail_in.get() {
            Some(0) => {
                self.fail_in.set(None);
                Err(StoreError::Engine("injected fault".into()))
            }
            Some(left) => {
                self.fail_in.set(Some(left - 1));
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl ToSql for Param<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match *self {
            Param::Null => ToSqlOutput::Owned(Value::Null),
            Param::Int(number) => ToSqlOutput::Owned(Value::Integer(number)),
            Param::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Param::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

impl Store for SqliteStore {
    fn query_within(
        &self,
        sql: &str,
        params: &[Param<'_>],
        max_bytes: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.strike()?;
        // What the storage of an object would refuse is refused here, too.
        if params
            .iter()
            .any(|param| matches!(param, Param::Int(number) if number.unsigned_abs() > MAX_INTEGER))
        {
            return Err(StoreError::Engine("an integer beyond 2^53 does not survive JavaScript".into()));
        }
        let connection = self.connection.borrow();
        let before = connection.total_changes();
        let mut statement = connection.prepare_cached(sql).map_err(engine)?;
        let width = statement.column_count();
        let mut cursor = statement.query(params_from_iter(params)).map_err(engine)?;
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while let Some(found) = cursor.next().map_err(engine)? {
            let mut columns = Vec::with_capacity(width);
            for index in 0..width {
                let value = found.get_ref(index).map_err(engine)?;
                bytes += value.as_bytes().map_or(0, <[u8]>::len);
                columns.push(match value {
                    ValueRef::Null => Column::Null,
                    ValueRef::Integer(number) => Column::Int(number),
                    ValueRef::Real(_) => return Err(StoreError::Shape { index, wanted: "a non-float" }),
                    ValueRef::Text(text) => {
                        Column::Text(String::from_utf8(text.to_vec()).map_err(|e| engine_text(&e))?)
                    }
                    ValueRef::Blob(bytes) => Column::Blob(bytes.to_vec()),
                });
            }
            rows.push(Row::new(columns));
            if bytes >= max_bytes {
                break;
            }
        }
        drop(cursor);
        let steps = u64::try_from(statement.reset_status(StatementStatus::VmStep)).unwrap_or_default();
        self.steps.set(self.steps.get() + steps);
        let mut counts = self.counts.get();
        counts.statements += 1;
        counts.read += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        counts.written += connection.total_changes() - before;
        self.counts.set(counts);
        Ok(rows)
    }

    fn transact(&self, body: &mut dyn FnMut() -> bool) -> Result<(), StoreError> {
        let depth = self.depth.get();
        self.depth.set(depth + 1);
        let run = |sql: &str| self.connection.borrow().execute_batch(sql).map_err(engine);
        let outcome = run(&format!("SAVEPOINT s{depth}")).and_then(|()| {
            if body() {
                run(&format!("RELEASE s{depth}"))
            } else {
                run(&format!("ROLLBACK TO s{depth}; RELEASE s{depth}"))
            }
        });
        self.depth.set(depth);
        outcome
    }

    fn counts(&self) -> RowCounts {
        self.counts.get()
    }

    fn size(&self) -> Result<u64, StoreError> {
        let size =
            self.connection.borrow().query_row(SIZE, [], |row| row.get::<_, i64>(0)).map_err(engine)?;
        Ok(u64::try_from(size).unwrap_or(0))
    }
}

const SIZE: &str = "SELECT (page_count - freelist_count) * page_size \
     FROM pragma_page_count, pragma_freelist_count, pragma_page_size";

/// The largest integer that JavaScript keeps exactly.
const MAX_INTEGER: u64 = (1 << 53) - 1;

fn engine(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::TooBig) => StoreError::TooLarge,
        _ => StoreError::Engine(error.to_string()),
    }
}

fn engine_text(error: &dyn std::error::Error) -> StoreError {
    StoreError::Engine(error.to_string())
}
