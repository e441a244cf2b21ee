//! The tasks of an agent: requests that it has sent or got, and how they stand.
//!
//! A task is a request's row in the inbox or among what was sent, found by the request's address; it has no other.

use murmuration_data::Cid;
use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Did, Tid};

use crate::CommsError;
use crate::comms::{Comms, int, uint};
use crate::inbox::{cid, corrupt};
use crate::receipt::unpack;
use crate::task::{Role, TaskState};

/// Reads 1 row.
const OF_INBOX: &str = "SELECT sender, id, cid, task, task_at, thread, NULL FROM inbox \
     WHERE sender = ?1 AND id = ?2 AND type = 'agent.comms.request' AND state <> 1";
/// Reads 1 row.
const OF_SENT: &str = "SELECT NULL, id, cid, task, task_at, thread, deliveries FROM sent WHERE id = ?1 AND type = 'agent.comms.request'";
/// Writes 1 row.
const SET_IN_INBOX: &str = "UPDATE inbox SET task = ?3, task_at = ?4 WHERE sender = ?1 AND id = ?2";
/// Writes 1 row.
const SET_IN_SENT: &str = "UPDATE sent SET task = ?2, task_at = ?3 WHERE id = ?1";
/// Reads the rows that it answers with, and those between them.
const LIST: &str = "SELECT sender, id, cid, task, task_at, thread, NULL FROM inbox \
     WHERE type = 'agent.comms.request' AND ?1 <> 1 AND state <> 1 \
     AND (id, sender) < (?3, ?4) AND (?5 IS NULL OR task = ?5) \
     UNION ALL SELECT NULL, id, cid, task, task_at, thread, deliveries FROM sent \
     WHERE type = 'agent.comms.request' AND ?1 <> 2 \
     AND (id, ?2) < (?3, ?4) AND (?5 IS NULL OR task = ?5) \
     ORDER BY 2 DESC, 1 DESC LIMIT ?6 + 0";

/// A task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Task {
    /// Who has asked for it.
    pub requester: Did,
    /// The request's id.
    pub id: Tid,
    /// The name of the request's parcel.
    pub cid: Cid,
    /// Those who were asked.
    pub assignees: Vec<Did>,
    /// How it stands.
    pub state: TaskState,
    /// Since when, in microseconds since the Unix epoch.
    pub at: u64,
    /// The thread of the request.
    pub thread: String,
}

/// What a message says of a task.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TaskChange {
    /// The agent whose book this is.
    pub own: Did,
    /// Who has asked for the task.
    pub requester: Did,
    /// The request's id.
    pub request: Tid,
    /// How it is to stand.
    pub to: TaskState,
    /// Who says so: the sender of the message.
    pub by: Did,
}

/// Which tasks are listed: all for which nothing is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskFilter {
    /// What the agent is in them.
    pub role: Option<Role>,
    /// How they stand.
    pub state: Option<TaskState>,
}

impl Comms {
    /// The task of a request. `own` is the agent.
    ///
    /// # Errors
    /// [`CommsError::NoSuchTask`] when the agent has neither sent nor got it; otherwise the storage's.
    pub fn task(&self, own: &Did, requester: &Did, id: Tid) -> Result<Task, CommsError> {
        let id = id.to_string();
        let row = match own == requester {
            true => self.store.query(OF_SENT, &[Param::Text(&id)])?.pop(),
            false => self.store.query(OF_INBOX, &[Param::Text(requester.as_str()), Param::Text(&id)])?.pop(),
        };
        Ok(read(&mut row.ok_or(CommsError::NoSuchTask)?, own)?)
    }

    /// Tasks, the last request first, behind `before`.
    ///
    /// # Errors
    /// The storage's.
    pub fn tasks(
        &self,
        own: &Did,
        filter: TaskFilter,
        before: Option<(&str, &str)>,
        limit: u32,
    ) -> Result<Vec<Task>, CommsError> {
        let (id, requester) = before.unwrap_or((BEHIND_ALL, ""));
        let params = [
            Param::Int(match filter.role {
                None => 0,
                Some(Role::Requester) => 1,
                Some(Role::Assignee) => 2,
            }),
            Param::Text(own.as_str()),
            Param::Text(id),
            Param::Text(requester),
            filter.state.map_or(Param::Null, |state| Param::Int(state.code())),
            Param::Int(limit.into()),
        ];
        let rows = self.store.query(LIST, &params)?;
        rows.into_iter().map(|mut row| Ok(read(&mut row, own)?)).collect()
    }

    /// Takes a task to the state that a message names which has come, if it may be said: a message that is wrong about a task is a
    /// message still. It runs in the transaction of the message.
    ///
    /// Writes 1 row, if it changes.
    ///
    /// # Errors
    /// The storage's.
    pub fn hear_of_task(&self, change: &TaskChange, now: u64) -> Result<(), CommsError> {
        match self.change_task(change, now) {
            Ok(_) | Err(CommsError::NoSuchTask | CommsError::TaskState { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes a task to another state, and answers with the task as it then is. It runs in the transaction of the message
    /// that says so.
    ///
    /// Writes 1 row, if it changes.
    pub(crate) fn change_task(&self, change: &TaskChange, now: u64) -> Result<Task, CommsError> {
        let TaskChange { own, requester, request, to, by } = change;
        let mut task = self.task(own, requester, *request)?;
        let role = match by {
            by if *by == task.requester => Role::Requester,
            by if task.assignees.contains(by) => Role::Assignee,
            _ => return Err(CommsError::NoSuchTask),
        };
        let book = if own == requester { Role::Requester } else { Role::Assignee };
        let state = task.state.become_by(*to, role, book)?;
        if state == task.state {
            return Ok(task);
        }
        let id = request.to_string();
        let (id, code, at) = (Param::Text(&id), Param::Int(state.code()), int(now));
        if own == requester {
            self.store.query(SET_IN_SENT, &[id, code, at])?;
        } else {
            self.store.query(SET_IN_INBOX, &[Param::Text(requester.as_str()), id, code, at])?;
        }
        (task.state, task.at) = (state, now);
        Ok(task)
    }
}

fn read(row: &mut Row, own: &Did) -> Result<Task, StoreError> {
    let requester = row.opt_text(0)?.map(|text| Did::parse(&text).map_err(|_| corrupt())).transpose()?;
    let assignees = match row.opt_blob(6)? {
        Some(receipts) => unpack(&receipts)?.into_iter().map(|receipt| receipt.to).collect(),
        None => vec![own.clone()],
    };
    Ok(Task {
        requester: requester.unwrap_or_else(|| own.clone()),
        id: Tid::parse(&row.text(1)?).map_err(|_| corrupt())?,
        cid: cid(&row.blob(2)?)?,
        assignees,
        state: TaskState::of_code(row.int(3)?).ok_or_else(corrupt)?,
        at: uint(row.int(4)?),
        thread: row.text(5)?,
    })
}

/// Behind every TID.
const BEHIND_ALL: &str = "c";
