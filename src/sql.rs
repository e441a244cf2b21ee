//! A [`Store`] over the SQLite storage of a Durable Object.
//!
//! `worker`'s own cursor calls are not used: they do not catch, and an exception that nobody catches kills the whole
//! instance. Nor is its `transaction`, which is asynchronous: a panic inside it wedges the object. Everything here is
//! synchronous, catches, and crosses into JavaScript once a statement.
//!
//! Numbers are bound as SQLite REAL, because JavaScript has no other. A column of type INTEGER (all of ours: every table is
//! STRICT) turns them into integers on the way in and compares them as such, `LIMIT ?` too.

// The attribute macro of `wasm-bindgen` expands to unsafe code.
#![allow(unsafe_code)]

use std::cell::Cell;

use js_sys::{Array, JsString, Uint8Array};
use murmuration_platform::{Column, Param, Row, RowCounts, Store, StoreError};
use wasm_bindgen::prelude::*;
use worker::State;

use crate::body;

#[wasm_bindgen(inline_js = "
/**
 * Runs a statement to its end: [values of all rows in order, columns a row, rows read, rows written]. Rows behind the one
 * with which the values pass `limit` bytes are let go: a cursor that is not read to its end stays open.
 */
export function run(sql, query, params, limit) {
  const cursor = sql.exec(query, ...params);
  const values = [];
  let width = 0;
  let size = 0;
  for (const row of cursor.raw()) {
    if (size >= limit) continue;
    width = row.length;
    for (const value of row) {
      const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value;
      size += bytes?.length ?? 0;
      values.push(bytes);
    }
  }
  return [values, width, cursor.rowsRead, cursor.rowsWritten];
}

const UNDO = Symbol('undo');

/** Runs `body` in a transaction, which is undone when it answers false or throws. */
export function transact(storage, body) {
  try {
    storage.transactionSync(() => {
      if (!body()) throw UNDO;
    });
  } catch (error) {
    if (error !== UNDO) throw error;
  }
}
")]
extern "C" {
    #[wasm_bindgen(catch)]
    fn run(sql: &JsValue, query: &str, params: &Array, limit: f64) -> Result<Array, JsValue>;

    #[wasm_bindgen(catch)]
    fn transact(storage: &JsValue, body: &mut dyn FnMut() -> bool) -> Result<(), JsValue>;
}

/// The storage of the object that `state` belongs to.
pub(crate) struct SqlStore {
    storage: JsValue,
    sql: JsValue,
    counts: Cell<RowCounts>,
}

impl SqlStore {
    /// Opens the object's storage; nothing is read yet.
    pub(crate) fn open(state: &State) -> Self {
        let storage = state.storage();
        let sql = AsRef::<JsValue>::as_ref(&storage.sql()).clone();
        Self { storage: storage.as_raw().into(), sql, counts: Cell::default() }
    }
}

impl Store for SqlStore {
    fn query_within(
        &self,
        sql: &str,
        params: &[Param<'_>],
        max_bytes: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let limit = f64::from(u32::try_from(max_bytes).unwrap_or(u32::MAX));
        let result = run(&self.sql, sql, &bind_all(params)?, limit).map_err(engine)?;
        let whole = |index: u32| result.get(index).as_f64().and_then(whole_number).unwrap_or(0);
        let count = |index: u32| u64::try_from(whole(index)).unwrap_or(0);
        let mut counts = self.counts.get();
        counts.statements += 1;
        counts.read += count(2);
        counts.written += count(3);
        self.counts.set(counts);
        collect(&Array::unchecked_from_js(result.get(0)), u32::try_from(whole(1)).unwrap_or(0))
    }

    fn transact(&self, body: &mut dyn FnMut() -> bool) -> Result<(), StoreError> {
        transact(&self.storage, &mut || body()).map_err(engine)
    }

    fn counts(&self) -> RowCounts {
        self.counts.get()
    }

    fn size(&self) -> Result<u64, StoreError> {
        let size = js_sys::Reflect::get(&self.sql, &"databaseSize".into()).map_err(engine)?;
        let size = size.as_f64().and_then(whole_number).and_then(|size| u64::try_from(size).ok());
        size.ok_or_else(|| StoreError::Engine("the engine does not say how much is stored".into()))
    }
}

/// Rows of `width` columns out of all their values in order.
fn collect(values: &Array, width: u32) -> Result<Vec<Row>, StoreError> {
    if width == 0 {
        return Ok(Vec::new());
    }
    let columns = usize::try_from(width).unwrap_or(0);
    let mut rows = Vec::with_capacity(usize::try_from(values.length() / width).unwrap_or(0));
    let mut row = Vec::with_capacity(columns);
    for index in 0..values.length() {
        row.push(column(values.get(index), index % width)?);
        if row.len() == columns {
            rows.push(Row::new(std::mem::replace(&mut row, Vec::with_capacity(columns))));
        }
    }
    Ok(rows)
}

/// One row out of its values.
pub(crate) fn row(values: &Array) -> Result<Row, StoreError> {
    (0..values.length()).map(|index| column(values.get(index), index)).collect::<Result<_, _>>().map(Row::new)
}

/// Parameters for JavaScript.
pub(crate) fn bind_all(params: &[Param<'_>]) -> Result<Array, StoreError> {
    params.iter().map(|param| bind(*param)).collect()
}

fn column(value: JsValue, index: u32) -> Result<Column, StoreError> {
    let shape = |wanted| StoreError::Shape { index: usize::try_from(index).unwrap_or(usize::MAX), wanted };
    if let Some(number) = value.as_f64() {
        return whole_number(number).map(Column::Int).ok_or_else(|| shape("a whole number within 2^53"));
    }
    if value.is_null() {
        return Ok(Column::Null);
    }
    match value.dyn_into::<JsString>() {
        Ok(text) => Ok(Column::Text(text.into())),
        // D1 gives a blob as an array of numbers.
        Err(other) if Array::is_array(&other) => Ok(Column::Blob(Uint8Array::new(&other).to_vec())),
        Err(other) => match other.dyn_into::<Uint8Array>() {
            Ok(bytes) => Ok(Column::Blob(body::take(&bytes))),
            Err(_) => Err(shape("a number, text, a blob or NULL")),
        },
    }
}

fn bind(param: Param<'_>) -> Result<JsValue, StoreError> {
    Ok(match param {
        Param::Null => JsValue::NULL,
        Param::Int(number) => JsValue::from_f64(exact_float(number).ok_or_else(|| {
            StoreError::Engine("an integer beyond 2^53 does not survive JavaScript".into())
        })?),
        Param::Text(text) => JsValue::from_str(text),
        Param::Blob(bytes) => Uint8Array::from(bytes).into(),
    })
}

/// The largest whole number that JavaScript keeps exactly: 2^53 - 1.
const MAX_SAFE: i64 = (1 << 53) - 1;
/// The same as a float.
const MAX_SAFE_FLOAT: f64 = 9_007_199_254_740_991.0;

#[allow(clippy::as_conversions)]
fn exact_float(number: i64) -> Option<f64> {
    // INVARIANT: within ±(2^53 - 1) every whole number is a float, so `as` loses nothing.
    (-MAX_SAFE..=MAX_SAFE).contains(&number).then_some(number as f64)
}

#[allow(clippy::as_conversions)]
fn whole_number(number: f64) -> Option<i64> {
    // INVARIANT: whole and within ±(2^53 - 1), so `as` loses nothing.
    (number.fract() == 0.0 && number.abs() <= MAX_SAFE_FLOAT).then_some(number as i64)
}

fn engine(error: JsValue) -> StoreError {
    let message = error.dyn_into::<js_sys::Error>().map_or_else(|e| format!("{e:?}"), |e| e.message().into());
    match message.ends_with(TOO_LARGE) {
        true => StoreError::TooLarge,
        false => StoreError::Engine(message),
    }
}

/// How the engine's message ends when a value would be too large (workerd, `src/workerd/util/sqlite.c++`).
const TOO_LARGE: &str = "SQLITE_TOOBIG";
