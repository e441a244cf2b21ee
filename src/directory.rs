//! The directory's database: D1.
//!
//! Its migrations run by themselves, before the first statement of an isolate. They are noted as wrangler notes them, so that
//! `wrangler d1 migrations apply` and a Worker that was faster agree.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::collections::BTreeSet;

use js_sys::{Array, Promise};
use murmuration_platform::{Param, Row, StoreError, statements};
use murmuration_xrpc::host::{Database, Task, directory};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::Env;

use crate::body::message;
use crate::sql;

/// The binding.
const BINDING: &str = "DIRECTORY";
/// As wrangler makes it.
const CREATE_NOTES: &str = "CREATE TABLE IF NOT EXISTS d1_migrations (id INTEGER PRIMARY KEY AUTOINCREMENT, \
     name TEXT UNIQUE, applied_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL)";
const NOTES: &str = "SELECT name FROM d1_migrations";
const NOTE: &str = "INSERT INTO d1_migrations (name) VALUES (?)";

#[wasm_bindgen(inline_js = "
/** Runs a statement: its rows, each an array of values. */
export async function query(database, sql, params) {
  return await database.prepare(sql).bind(...params).raw();
}

/** Runs statements in one transaction. The last has one parameter. */
export async function together(database, statements, last) {
  const prepared = statements.map((sql) => database.prepare(sql));
  prepared.push(prepared.pop().bind(last));
  await database.batch(prepared);
}
")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn query(database: &JsValue, sql: &str, params: &Array) -> Result<Promise, JsValue>;

    #[wasm_bindgen(catch)]
    fn together(database: &JsValue, statements: &Array, last: &str) -> Result<Promise, JsValue>;
}

thread_local! {
    /// Whether this isolate has seen every migration applied.
    static MIGRATED: Cell<bool> = const { Cell::new(false) };
}

/// The database of the directory.
pub(crate) struct D1 {
    database: JsValue,
}

impl D1 {
    /// Takes the binding; whether it is there shows at the first statement.
    pub(crate) fn open(env: &Env) -> Self {
        Self { database: js_sys::Reflect::get(env, &BINDING.into()).unwrap_or_default() }
    }

    async fn run(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, StoreError> {
        let bound = sql::bind_all(params)?;
        let rows = settle(query(&self.database, sql, &bound)).await?;
        Array::from(&rows).iter().map(|row| sql::row(&Array::unchecked_from_js(row))).collect()
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let mut done = self.noted().await?;
        for (name, sql) in directory::MIGRATIONS {
            if done.contains(*name) {
                continue;
            }
            let statements: Array = statements(sql).iter().map(|text| JsValue::from_str(text)).collect();
            statements.push(&NOTE.into());
            if let Err(error) = settle(together(&self.database, &statements, name)).await {
                // Another isolate may have been faster: its batch stands and this one is undone.
                done = self.noted().await?;
                if !done.contains(*name) {
                    return Err(error);
                }
            }
        }
        MIGRATED.set(true);
        Ok(())
    }

    async fn noted(&self) -> Result<BTreeSet<String>, StoreError> {
        self.run(CREATE_NOTES, &[]).await?;
        self.run(NOTES, &[]).await?.into_iter().map(|mut row| row.text(0)).collect()
    }
}

impl Database for D1 {
    fn query<'a>(
        &'a self,
        sql: &'static str,
        params: &'a [Param<'a>],
    ) -> Task<'a, Result<Vec<Row>, StoreError>> {
        Box::pin(async move {
            if !MIGRATED.get() {
                self.migrate().await?;
            }
            self.run(sql, params).await
        })
    }
}

async fn settle(promise: Result<Promise, JsValue>) -> Result<JsValue, StoreError> {
    let failed = |error: JsValue| StoreError::Engine(format!("directory: {}", message(&error)));
    JsFuture::from(promise.map_err(failed)?).await.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_has_statements() {
        for (name, sql) in directory::MIGRATIONS {
            assert!(!statements(sql).is_empty(), "{name}");
        }
    }
}
