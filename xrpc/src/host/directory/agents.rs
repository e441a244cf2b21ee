//! The agents among the accounts: their did:cf, and what each says of itself.
//!
//! The objects are the truth of a profile; what stands here is what lists and searches read, and follows behind each write of
//! it ([`crate::agent::index`]).

use murmuration_bridge::CfDid;
use murmuration_platform::{Param, Row, StoreError};
use murmuration_syntax::{Did, Handle};
use serde_json::Value as Json;

use super::{Directory, Status, did_column, millis};

/// An agent's row, whatever has become of its account.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AgentRow {
    /// The account's canonical DID.
    pub did: Did,
    /// Its did:cf.
    pub alias: CfDid,
    /// Whether the account was deleted.
    pub ended: bool,
}

/// An agent as the directory knows it, with its account.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentEntry {
    /// Its canonical DID.
    pub did: Did,
    /// Its did:cf.
    pub alias: CfDid,
    /// Its handle.
    pub handle: Handle,
    /// Whether its account is served.
    pub status: Status,
    /// The record in which it says who it is.
    pub profile: Option<Json>,
    /// Since when it is an agent, in milliseconds since the Unix epoch.
    pub since_millis: u64,
}

/// Some of the agents that were found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FoundAgents {
    /// Those of them that are served.
    pub agents: Vec<AgentEntry>,
    /// Where to go on, unless that was all.
    pub next: Option<u64>,
}

impl Directory<'_> {
    /// Enters an account as an agent. May be repeated.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn enrol(&self, did: &Did, alias: &CfDid, now_millis: u64) -> Result<(), StoreError> {
        let params = [did.as_str().into(), alias.object().into(), millis(now_millis)?];
        self.database.query(ENROL, &params).await.map(drop)
    }

    /// Notes what an agent says of itself: 1 row, 0 when that is known.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn note_profile(
        &self,
        did: &Did,
        profile: Option<&str>,
        words: &str,
    ) -> Result<(), StoreError> {
        let profile = profile.map_or(Param::Null, Param::Text);
        self.database.query(NOTE_PROFILE, &[did.as_str().into(), profile, words.into()]).await.map(drop)
    }

    /// Ends an agent, if the account is one. May be repeated.
    ///
    /// # Errors
    /// When the database does not do its part.
    pub async fn end_agent(&self, did: &Did) -> Result<(), StoreError> {
        self.database.query(END, &[did.as_str().into()]).await.map(drop)
    }

    /// The agent of a DID, also one that has ended.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn agent(&self, did: &Did) -> Result<Option<AgentRow>, StoreError> {
        self.agent_row(BY_DID, did.as_str()).await
    }

    /// The agent of a did:cf, also one that has ended.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn agent_of(&self, alias: &CfDid) -> Result<Option<AgentRow>, StoreError> {
        self.agent_row(BY_OBJECT, alias.object()).await
    }

    /// An agent with its account.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn agent_entry(&self, did: &Did) -> Result<Option<AgentEntry>, StoreError> {
        let row = self.database.query(ENTRY, &[did.as_str().into()]).await?.pop();
        row.map(agent_entry).transpose()
    }

    /// The agents that are served, by DID, after `cursor`: at most `limit`.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn agents(&self, cursor: Option<&str>, limit: u32) -> Result<Vec<AgentEntry>, StoreError> {
        let params = [cursor.unwrap_or_default().into(), i64::from(limit).into()];
        self.database.query(LIST, &params).await?.into_iter().map(agent_entry).collect()
    }

    /// The agents that an expression of full-text search finds, in an order that means nothing, behind `after`. At most `limit`
    /// are looked at, and those of them that are not served are left out.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn find_agents(
        &self,
        expression: &str,
        after: u64,
        limit: u32,
    ) -> Result<FoundAgents, StoreError> {
        let params = [expression.into(), millis(after)?, i64::from(limit).into()];
        let mut found = FoundAgents::default();
        let rows = self.database.query(SEARCH, &params).await?;
        let is_full = usize::try_from(limit).is_ok_and(|limit| rows.len() >= limit);
        for mut row in rows {
            found.next = u64::try_from(row.int(6)?).ok().filter(|_| is_full);
            let agent = agent_entry(row)?;
            found.agents.extend(Some(agent).filter(|agent| agent.status == Status::Active));
        }
        Ok(found)
    }

    async fn agent_row(&self, sql: &'static str, key: &str) -> Result<Option<AgentRow>, StoreError> {
        let Some(mut row) = self.database.query(sql, &[key.into()]).await?.pop() else { return Ok(None) };
        Ok(Some(AgentRow { did: did_column(&mut row)?, alias: alias(&mut row)?, ended: row.int(2)? != 0 }))
    }
}

fn alias(row: &mut Row) -> Result<CfDid, StoreError> {
    CfDid::of_object(&row.text(1)?).map_err(|error| StoreError::Corrupt(format!("agent.object: {error}")))
}

fn agent_entry(mut row: Row) -> Result<AgentEntry, StoreError> {
    let corrupt = |what: &str| StoreError::Corrupt(format!("agent: {what}"));
    Ok(AgentEntry {
        did: did_column(&mut row)?,
        alias: alias(&mut row)?,
        handle: Handle::parse(&row.text(2)?).map_err(|_| corrupt("a handle is none"))?,
        status: Status::parse(&row.text(3)?).ok_or_else(|| corrupt("a status is none"))?,
        profile: row
            .opt_text(4)?
            .map(|json| serde_json::from_str(&json).map_err(|_| corrupt("a profile is no JSON")))
            .transpose()?,
        since_millis: u64::try_from(row.int(5)?).map_err(|_| corrupt("a time is negative"))?,
    })
}

/// Writes 5 rows: the row, its two index entries, and two of the index of words; 0 when it is there.
const ENROL: &str = "INSERT INTO agent (did, object, ended, words, since, entry) \
     VALUES (?1, ?2, 0, '', ?3, abs(random() >> 11)) ON CONFLICT (did) DO NOTHING";
/// Writes 1 row, and two of the index of words where those are others; 0 when it says so already, or there is no such agent.
const NOTE_PROFILE: &str = "UPDATE agent SET profile = ?2, words = ?3 \
     WHERE did = ?1 AND ended = 0 AND (profile IS NOT ?2 OR words <> ?3)";
/// Writes 2 rows; 0 when the account is no agent, or has ended.
const END: &str = "UPDATE agent SET ended = 1, profile = NULL, words = '' WHERE did = ?1 AND ended = 0";
/// Reads 1 row.
const BY_DID: &str = "SELECT did, object, ended FROM agent WHERE did = ?1";
/// Reads 1 row and 1 index entry.
const BY_OBJECT: &str = "SELECT did, object, ended FROM agent WHERE object = ?1";
/// Reads 2 rows.
const ENTRY: &str = "SELECT agent.did, object, handle, status, profile, since FROM agent \
     JOIN account ON account.did = agent.did WHERE agent.did = ?1 AND ended = 0";
/// Reads two rows for each agent behind the cursor until there are enough.
const LIST: &str = "SELECT agent.did, object, handle, status, profile, since FROM agent \
     JOIN account ON account.did = agent.did WHERE agent.did > ?1 AND ended = 0 AND status = 'active' \
     ORDER BY agent.did LIMIT ?2";
/// Reads three rows for each agent that it answers with, however many there are.
const SEARCH: &str = "SELECT agent.did, object, handle, status, profile, since, entry \
     FROM (SELECT rowid AS found FROM agent_text WHERE agent_text MATCH ?1 AND rowid > ?2 ORDER BY rowid LIMIT ?3) \
     CROSS JOIN agent ON entry = found CROSS JOIN account ON account.did = agent.did ORDER BY found";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use murmuration_platform::sqlite::SqliteStore;
    use murmuration_platform::{Store, run_script};

    use super::super::MIGRATIONS;
    use super::*;

    fn directory(agents: u32) -> SqliteStore {
        let store = SqliteStore::open().unwrap();
        MIGRATIONS.iter().for_each(|(_, script)| run_script(&store, script).unwrap());
        for n in 0..agents {
            let (did, handle) = (format!("did:web:a{n}.example"), format!("a{n}.example"));
            let sql = "INSERT INTO account (did, handle, status, created_at) VALUES (?1, ?2, 'active', 0)";
            Store::query(&store, sql, &[Param::Text(&did), Param::Text(&handle)]).unwrap();
            Store::query(&store, ENROL, &[Param::Text(&did), Param::Text(&handle), Param::Int(0)]).unwrap();
            let words = Param::Text("reads the papers of physicists");
            Store::query(&store, NOTE_PROFILE, &[Param::Text(&did), Param::Null, words]).unwrap();
        }
        store
    }

    #[test]
    fn a_search_reads_what_it_answers_with_however_many_agents_there_are() {
        let found = |agents: u32| {
            let store = directory(agents);
            let params = [Param::Text("\"reading\" AND \"physic\"*"), Param::Int(0), Param::Int(10)];
            let before = store.steps();
            assert_eq!(Store::query(&store, SEARCH, &params).unwrap().len(), 10);
            let steps = store.steps() - before;
            let plan = Store::query(&store, &format!("EXPLAIN QUERY PLAN {SEARCH}"), &params).unwrap();
            (steps, plan.into_iter().map(|mut row| row.text(3).unwrap()).collect::<Vec<_>>().join("\n"))
        };
        let (few, plan) = found(20);
        let (many, _) = found(2_000);
        assert_eq!(few, many, "rows are read for what is found, and for nothing else");
        assert!(plan.contains("SEARCH agent USING INDEX agent_entry"), "{plan}");
        assert!(plan.contains("SEARCH account USING PRIMARY KEY"), "{plan}");
        assert!(
            plan.contains("SCAN agent_text VIRTUAL TABLE INDEX") && !plan.contains("TEMP B-TREE"),
            "{plan}"
        );
    }

    #[test]
    fn what_is_found_follows_the_agent_and_its_handle() {
        let store = directory(2);
        let count = |text: &str| {
            Store::query(&store, SEARCH, &[Param::Text(text), Param::Int(0), Param::Int(10)]).unwrap().len()
        };
        let run = |sql: &str| drop(Store::query(&store, sql, &[]).unwrap());
        assert_eq!((count("\"a1.example\""), count("\"physicist\"")), (1, 2));
        run("UPDATE account SET handle = 'robin.example' WHERE handle = 'a1.example'");
        assert_eq!((count("\"a1\""), count("\"robin\""), count("\"physicist\"")), (0, 1, 2));
        run("UPDATE agent SET words = 'sings' WHERE did = 'did:web:a1.example'");
        assert_eq!((count("\"robin\""), count("\"song\""), count("\"sing\"")), (1, 0, 1));
        assert_eq!(count("\"physicist\""), 1);
        Store::query(&store, END, &[Param::Text("did:web:a1.example")]).unwrap();
        assert_eq!((count("\"robin\""), count("\"sing\"")), (0, 0));
    }
}
