//! What the host's directory shows of what an agent says of itself: it follows behind each write of the profile, and when it was
//! not told, the object's next alarm tells it.

use std::fmt::Write as _;

use murmuration_account::{Account, AccountError, Write, WriteRequest};
use murmuration_data::{cbor, json};
use murmuration_syntax::RepoPath;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use crate::XrpcError;
use crate::host::Directory;

/// The record in which an agent says who it is.
const PATH: &str = "agent.identity.profile/self";
/// Bytes of a profile that is listed as it is. Ours: a page of a hundred agents is to stay below ten megabytes.
const MAX_LISTED_BYTES: usize = 64 * 1024;
/// Bytes of the words of a profile that are searched.
const MAX_WORDS_BYTES: usize = 16 * 1024;

/// What an agent says of itself, as it is listed and searched.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Profile {
    /// The record as JSON; `None` if there is none to be shown.
    pub json: Option<String>,
    /// Its words, in lower case, and the terms of its skills.
    pub words: String,
}

/// The path of the profile.
///
/// # Errors
/// None in practice.
pub fn path() -> Result<RepoPath, XrpcError> {
    RepoPath::parse(PATH).map_err(XrpcError::internal)
}

/// Whether a call's writes concern the profile.
#[must_use]
pub fn concerns(request: &WriteRequest) -> bool {
    request.writes.iter().map(Write::path).any(|path| path.to_string() == PATH)
}

/// What an account says of itself; nothing of what the operator has taken down.
///
/// # Errors
/// [`AccountError::Vacant`] if there is no account.
pub fn profile(account: &Account) -> Result<Profile, XrpcError> {
    let Some(record) = account.record(&path()?)? else { return Ok(Profile::default()) };
    let value = json::to_value(&cbor::decode(&record.value).map_err(XrpcError::internal)?);
    let words = words(&value);
    Ok(Profile { json: Some(value.to_string()).filter(|json| json.len() <= MAX_LISTED_BYTES), words })
}

/// Sees that the directory shows what the account says of itself: 1 row, 0 if it does. An account without keys is no agent, and
/// the directory is not asked.
///
/// # Errors
/// When the directory does not do its part.
pub async fn refresh(account: &Account, directory: Directory<'_>) -> Result<(), XrpcError> {
    let did = match account.did() {
        Err(AccountError::Vacant) => return Ok(()),
        other => other?,
    };
    if let Err(AccountError::NoKeys) = account.published_keys() {
        return Ok(());
    }
    let Profile { json, words } = profile(account)?;
    Ok(directory.note_profile(&did, json.as_deref(), &words).await?)
}

/// What is searched of a profile: its skills and their tags as terms, and its texts with theirs.
fn words(profile: &Json) -> String {
    let texts = |of: &Json, names: &[&str]| -> Vec<String> {
        names.iter().filter_map(|name| Some(of.get(name)?.as_str()?.to_lowercase())).collect()
    };
    let (mut terms, mut words) = (Vec::new(), texts(profile, &["displayName", "description", "software"]));
    for skill in profile.get("skills").and_then(Json::as_array).into_iter().flatten() {
        terms.extend(skill.get("id").and_then(Json::as_str).map(|id| term(SKILL, id)));
        words.extend(texts(skill, &["id", "name", "description"]));
        let tags = skill.get("tags").and_then(Json::as_array).into_iter().flatten();
        for tag in tags.filter_map(Json::as_str) {
            terms.push(term(TAG, tag));
            words.push(tag.to_lowercase());
        }
    }
    terms.append(&mut words);
    let mut words = terms.join(" ");
    words.truncate(words.floor_char_boundary(MAX_WORDS_BYTES));
    words
}

/// A name among the words, so that it is found as a whole and as nothing else: a word that no text has.
#[must_use]
pub fn term(kind: &str, name: &str) -> String {
    // Digits alone: nothing that ends in them is brought to a common form.
    let digits =
        Sha256::digest(format!("{kind} {name}")).iter().take(8).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:03}");
            text
        });
    format!("{kind}{digits}")
}

/// The kind of a term that is the id of a skill.
pub const SKILL: &str = "skill";
/// The kind of a term that is a tag of a skill.
pub const TAG: &str = "tag";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_words_of_a_profile_are_its_texts_and_those_of_its_skills() {
        let profile = json!({
            "displayName": "Éva", "description": "Reads PAPERS.", "operator": "did:web:x.example", "createdAt": "now",
            "skills": [{ "id": "sum", "name": "Summaries", "tags": ["Physics", 5] }, 7],
        });
        let terms = format!("{} {}", term(SKILL, "sum"), term(TAG, "Physics"));
        assert_eq!(words(&profile), format!("{terms} éva reads papers. sum summaries physics"));
        assert_eq!(term(SKILL, "sum").len(), SKILL.len() + 24);
        assert_ne!(term(SKILL, "sum"), term(SKILL, "Sum"));
        assert_eq!(words(&json!({})), "");
        assert_eq!(words(&json!({ "description": "é".repeat(MAX_WORDS_BYTES) })).len(), MAX_WORDS_BYTES);
    }
}
