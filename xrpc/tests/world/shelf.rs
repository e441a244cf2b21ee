//! The directory's database, and what is in a database altogether.

use std::future::ready;
use std::rc::Rc;

use murmuration_platform::sqlite::SqliteStore;
use murmuration_platform::{Param, Row, Store, StoreError};
use murmuration_xrpc::host::{Database, Task};

use super::Faults;

/// The directory's database.
pub struct Shelf {
    pub store: SqliteStore,
    pub(super) faults: Rc<Faults>,
}

impl Database for Shelf {
    fn query<'a>(
        &'a self,
        sql: &'static str,
        params: &'a [Param<'a>],
    ) -> Task<'a, Result<Vec<Row>, StoreError>> {
        let answer = self.faults.call(|| Store::query(&self.store, sql, params));
        Box::pin(ready(answer.unwrap_or_else(|| Err(StoreError::Engine("no answer".into())))))
    }
}

/// The values of all columns of all tables.
pub fn everything_in(store: &SqliteStore) -> Vec<Vec<u8>> {
    let texts = |sql: &str| -> Vec<String> {
        let rows = Store::query(store, sql, &[]).unwrap();
        rows.into_iter().map(|mut row| row.text(0).unwrap()).collect()
    };
    let mut found = Vec::new();
    for table in texts("SELECT name FROM sqlite_schema WHERE type = 'table'") {
        for column in texts(&format!("SELECT name FROM pragma_table_info('{table}')")) {
            let sql = format!("SELECT CAST(\"{column}\" AS BLOB) FROM \"{table}\"");
            let rows = Store::query(store, &sql, &[]).unwrap();
            found.extend(rows.into_iter().filter_map(|mut row| row.opt_blob(0).unwrap()));
        }
    }
    found
}
