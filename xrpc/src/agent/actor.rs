//! `app.bsky.actor`: the preferences that clients keep with the account.
//!
//! They are private, and the host reads one of them only: the birth date of `#personalDetailsPref`, from which it tells
//! every client how old the owner says to be, and which itself it shows to nobody but the owner's own password. A client
//! writes the whole list; what it may not see it leaves as it is.

use murmuration_data::{Ipld, json};
use murmuration_firehose::Timestamp;
use serde_json::{Value as Json, json as object};

use super::{Call, Context, Reply};
use crate::XrpcError;
use crate::http::Response;
use crate::token::Scope;

/// `app.bsky.actor.getPreferences`
pub fn preferences(context: &Context<'_>, call: Call) -> Result<Reply, XrpcError> {
    let full = call.caller.claims()?.scope == Scope::Access;
    let mut kept = kept(context)?;
    if let Some(birth) = kept.iter().filter(|kept| is(kept, PERSONAL_DETAILS)).find_map(birth_date) {
        let age = age(birth, Timestamp::from_micros(context.clock.now_micros()).as_str());
        let over = |years| age.is_some_and(|age| age >= years);
        kept.push(object!({
            "$type": DECLARED_AGE,
            "isOverAge13": over(13),
            "isOverAge16": over(16),
            "isOverAge18": over(18),
        }));
    }
    kept.retain(|kept| full || !is(kept, PERSONAL_DETAILS));
    Ok(Reply::Now(Response::json(&object!({ "preferences": kept }))?))
}

/// `app.bsky.actor.putPreferences`
pub fn put_preferences(context: &Context<'_>, mut call: Call) -> Result<Reply, XrpcError> {
    let full = call.caller.claims()?.scope == Scope::Access;
    let Some(Ipld::List(given)) = call.input.take("preferences") else {
        return Err(XrpcError::invalid("Error: Input must have the property \"preferences\""));
    };
    let mut wanted: Vec<Json> = given.iter().map(json::to_value).collect();
    for preference in &wanted {
        let kind = kind(preference).ok_or_else(|| XrpcError::invalid("Preference is missing a $type"))?;
        if !kind.strip_prefix(NAMESPACE).is_some_and(|rest| rest.is_empty() || rest.starts_with('.')) {
            return Err(XrpcError::invalid(format!("Some preferences are not in the {NAMESPACE} namespace")));
        }
        if !full && kind == PERSONAL_DETAILS {
            return Err(XrpcError::invalid(format!("Do not have authorization to set preferences: {kind}")));
        }
    }
    // Made anew at each reading.
    wanted.retain(|preference| !is(preference, DECLARED_AGE));
    if !full {
        let hidden = kept(context)?.into_iter().filter(|kept| is(kept, PERSONAL_DETAILS));
        wanted.splice(0..0, hidden);
    }
    context.account.set_preferences(NAMESPACE, &Json::Array(wanted).to_string())?;
    Ok(Reply::Now(Response::empty()))
}

/// All that is kept, whoever asks.
fn kept(context: &Context<'_>) -> Result<Vec<Json>, XrpcError> {
    match context.account.preferences(NAMESPACE)? {
        Some(text) => serde_json::from_str(&text).map_err(XrpcError::internal),
        None => Ok(Vec::new()),
    }
}

fn kind(preference: &Json) -> Option<&str> {
    preference.get("$type").and_then(Json::as_str)
}

fn is(preference: &Json, wanted: &str) -> bool {
    kind(preference) == Some(wanted)
}

fn birth_date(preference: &Json) -> Option<&str> {
    preference.get("birthDate").and_then(Json::as_str).filter(|text| !text.is_empty())
}

/// Whole years between two datetimes; `None` if one of them has no date.
fn age(birth: &str, now: &str) -> Option<i32> {
    let (birth, now) = (date(birth)?, date(now)?);
    let had_birthday = (now.1, now.2) >= (birth.1, birth.2);
    Some(now.0 - birth.0 - i32::from(!had_birthday))
}

/// Year, month and day of a datetime.
fn date(text: &str) -> Option<(i32, u8, u8)> {
    let mut parts = text.get(..10)?.split('-');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The namespace of these methods.
const NAMESPACE: &str = "app.bsky";
const PERSONAL_DETAILS: &str = "app.bsky.actor.defs#personalDetailsPref";
const DECLARED_AGE: &str = "app.bsky.actor.defs#declaredAgePref";

#[cfg(test)]
mod tests {
    use super::age;

    #[test]
    fn a_year_older_on_the_birthday_and_not_before() {
        assert_eq!(age("2008-02-29T00:00:00Z", "2026-02-28T23:59:59.999Z"), Some(17));
        assert_eq!(age("2008-02-29T00:00:00Z", "2026-03-01T00:00:00.000Z"), Some(18));
        assert_eq!(age("2008-11-27T00:00:00Z", "2026-11-27T00:00:00.000Z"), Some(18));
        assert_eq!(age("not a date", "2026-11-27T00:00:00.000Z"), None);
    }
}
