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

/// What an agent must have in its profile to be found; what is empty is no matter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sought<'a> {
    /// Words, in lower case: each somewhere in its handle or its profile.
    pub words: &'a [String],
    /// The id of a skill.
    pub skill: Option<&'a str>,
    /// A tag of a skill.
    pub tag: Option<&'a str>,
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

    /// The agents that are served and have what is sought, by DID, after `cursor`: at most `limit`.
    ///
    /// # Errors
    /// When the database does not do its part, or a row is corrupt.
    pub async fn agents(
        &self,
        sought: &Sought<'_>,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Vec<AgentEntry>, StoreError> {
        let words = Json::from(sought.words).to_string();
        let params = [
            cursor.unwrap_or_default().into(),
            i64::from(limit).into(),
            words.as_str().into(),
            sought.skill.map_or(Param::Null, Param::Text),
            sought.tag.map_or(Param::Null, Param::Text),
        ];
        self.database.query(SEARCH, &params).await?.into_iter().map(agent_entry).collect()
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

/// Writes 2 rows: the row and its index entry; 0 when it is there.
const ENROL: &str = "INSERT INTO agent (did, object, ended, words, since) VALUES (?1, ?2, 0, '', ?3) \
     ON CONFLICT DO NOTHING";
/// Writes 1 row; 0 when it says so already, or there is no such agent.
const NOTE_PROFILE: &str = "UPDATE agent SET profile = ?2, words = ?3 \
     WHERE did = ?1 AND ended = 0 AND (profile IS NOT ?2 OR words <> ?3)";
/// Writes 1 row; 0 when the account is no agent, or has ended.
const END: &str = "UPDATE agent SET ended = 1, profile = NULL, words = '' WHERE did = ?1 AND ended = 0";
/// Reads 1 row.
const BY_DID: &str = "SELECT did, object, ended FROM agent WHERE did = ?1";
/// Reads 1 row and 1 index entry.
const BY_OBJECT: &str = "SELECT did, object, ended FROM agent WHERE object = ?1";
/// Reads 2 rows.
const ENTRY: &str = "SELECT agent.did, object, handle, status, profile, since FROM agent \
     JOIN account ON account.did = agent.did WHERE agent.did = ?1 AND ended = 0";
/// Reads two rows for each agent behind the cursor until enough are found. What is sought of a skill is looked for in the profile.
const SEARCH: &str = "SELECT agent.did, object, handle, status, profile, since FROM agent \
     JOIN account ON account.did = agent.did WHERE agent.did > ?1 AND ended = 0 AND status = 'active' \
     AND NOT EXISTS (SELECT 1 FROM json_each(?3) WHERE instr(handle || ' ' || words, value) = 0) \
     AND (?4 IS NULL OR EXISTS (SELECT 1 FROM json_each(profile, '$.skills') AS skill \
     WHERE json_extract(skill.value, '$.id') = ?4)) \
     AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(profile, '$.skills') AS skill, \
     json_each(skill.value, '$.tags') AS tag WHERE tag.value = ?5)) \
     ORDER BY agent.did LIMIT ?2";
