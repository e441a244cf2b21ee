//! Invite codes: what the operator makes, what an account earns with time, and what a new account uses.

use std::iter;

use murmuration_account::fresh_code;
use murmuration_firehose::Timestamp;
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json, json};

use super::directory::Status;
use super::directory::invites::{Invite, InviteOrder, OPERATOR};
use super::{Host, HostCall};
use crate::XrpcError;
use crate::agent::Args;
use crate::config::EarnedInvites;
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.server.createInviteCode`
    pub(crate) async fn create_invite_code(&self, input: &Args) -> Result<Response, XrpcError> {
        let uses = use_count(input)?;
        let owner = input.text("forAccount").unwrap_or(OPERATOR);
        let code = self.fresh_invite();
        self.directory.add_invites(&[(owner, code.clone())], uses, self.now_millis()).await?;
        Response::json(&json!({ "code": code }))
    }

    /// `com.atproto.server.createInviteCodes`
    pub(crate) async fn create_invite_codes(&self, input: &Args) -> Result<Response, XrpcError> {
        let uses = use_count(input)?;
        let mut owners = input.texts("forAccounts");
        if owners.is_empty() {
            owners.push(OPERATOR);
        }
        let each = input.number("codeCount").and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        if each == 0 || each.saturating_mul(owners.len()) > MAX_MADE {
            return Err(XrpcError::invalid(format!(
                "codeCount must be 1 or more, and {MAX_MADE} codes are the most"
            )));
        }
        let made: Vec<(&str, String)> = owners
            .iter()
            .flat_map(|owner| iter::repeat_n(*owner, each))
            .map(|owner| (owner, self.fresh_invite()))
            .collect();
        self.directory.add_invites(&made, uses, self.now_millis()).await?;
        let shown = made.chunks(each).zip(&owners).map(|(made, owner)| {
            let codes: Vec<&str> = made.iter().map(|(_, code)| code.as_str()).collect();
            json!({ "account": owner, "codes": codes })
        });
        Response::json(&json!({ "codes": shown.collect::<Vec<_>>() }))
    }

    /// `com.atproto.server.getAccountInviteCodes`
    pub(crate) async fn account_invite_codes(&self, call: &HostCall) -> Result<Response, XrpcError> {
        let did = &call.caller.claims()?.sub;
        let entry = self.directory.by_did(did).await?;
        let entry = entry.ok_or_else(|| XrpcError::named("NotFound", "Account not found"))?;
        if entry.status == Status::Takendown {
            return Err(XrpcError::takendown());
        }
        let mut invites = self.directory.invites_of(&[did.as_str()]).await?;
        if call.params.flag("createAvailable").unwrap_or(true)
            && self.config.invite_required
            && let Some(earned) = self.config.earned_invites
        {
            let count = earnable(earned, entry.created_at_millis, self.now_millis(), &invites);
            invites.extend(self.earn(did, count, &invites).await?);
        }
        let used_too = call.params.flag("includeUsed").unwrap_or(true);
        let shown = invites.iter().filter(|invite| !invite.disabled && (used_too || invite.is_open()));
        Response::json(&json!({ "codes": shown.map(view).collect::<Vec<_>>() }))
    }

    /// `com.atproto.admin.disableAccountInvites`
    pub(crate) async fn disable_account_invites(&self, input: &Args) -> Result<Response, XrpcError> {
        let did = self.known(input).await?;
        self.directory.stop_invites(&did, input.text("note")).await?;
        Ok(Response::empty())
    }

    /// `com.atproto.admin.enableAccountInvites`
    pub(crate) async fn enable_account_invites(&self, input: &Args) -> Result<Response, XrpcError> {
        let did = self.known(input).await?;
        self.directory.resume_invites(&did).await?;
        Ok(Response::empty())
    }

    /// `com.atproto.admin.disableInviteCodes`
    pub(crate) async fn disable_invite_codes(&self, input: &Args) -> Result<Response, XrpcError> {
        let (codes, accounts) = (input.texts("codes"), input.texts("accounts"));
        if accounts.contains(&OPERATOR) {
            return Err(XrpcError::invalid("cannot disable admin invite codes"));
        }
        if codes.len().max(accounts.len()) > MAX_MADE {
            return Err(XrpcError::invalid(format!("{MAX_MADE} codes and accounts at once are the most")));
        }
        self.directory.disable_invites(&codes, &accounts).await?;
        Ok(Response::empty())
    }

    /// `com.atproto.admin.getInviteCodes`
    pub(crate) async fn invite_codes(&self, params: &Args) -> Result<Response, XrpcError> {
        let order = match params.text("sort").unwrap_or("recent") {
            "recent" => InviteOrder::Recent,
            "usage" => InviteOrder::Usage,
            other => return Err(XrpcError::invalid(format!("unknown sort method: {other}"))),
        };
        let malformed = || XrpcError::invalid("Malformed cursor");
        let place = match params.text("cursor").filter(|cursor| !cursor.is_empty()) {
            Some(cursor) => {
                let (key, code) = cursor.split_once("::").ok_or_else(malformed)?;
                Some((key.parse().map_err(|_| malformed())?, code))
            }
            None => None,
        };
        let limit = params.number("limit").unwrap_or(DEFAULT_PAGE);
        let (found, next) = self.directory.invites(order, place, limit).await?;
        let mut answer = Map::new();
        answer.extend(next.map(|(key, code)| ("cursor".to_owned(), Json::from(format!("{key}::{code}")))));
        answer.insert("codes".into(), found.iter().map(view).collect());
        Response::json(&answer)
    }

    /// Uses a code for an account whose names are taken. When it is used up by accounts that never came to be, they give it
    /// back first.
    ///
    /// # Errors
    /// `InvalidInviteCode` when it is not to be had.
    pub(super) async fn use_invite(&self, code: &str, did: &Did) -> Result<(), XrpcError> {
        if self.directory.use_invite(code, did, self.now_millis()).await? {
            return Ok(());
        }
        let mut freed = false;
        for holder in self.directory.invite_holders(code).await? {
            freed |= self.reclaim(&holder).await;
        }
        match freed && self.directory.use_invite(code, did, self.now_millis()).await? {
            true => Ok(()),
            false => Err(XrpcError::named("InvalidInviteCode", "Provided invite code not available")),
        }
    }

    /// Makes codes that an account has earned. One that gets no more has them all the same, invalid, so that it does not
    /// earn them again.
    async fn earn(&self, did: &Did, count: usize, had: &[Invite]) -> Result<Vec<Invite>, XrpcError> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let codes: Vec<String> = (0..count).map(|_| self.fresh_invite()).collect();
        let (owner, now_millis) = (did.as_str(), self.now_millis());
        let disabled = !self.directory.stopped_invites(&[owner]).await?.is_empty();
        if !self.directory.earn_invites(&codes, did, disabled, routine(had).count(), now_millis).await? {
            return Err(XrpcError::named(
                "DuplicateCreate",
                "attempted to create additional codes in another request",
            ));
        }
        let made = codes.into_iter().map(|code| Invite {
            code,
            uses: 1,
            disabled,
            for_account: owner.to_owned(),
            created_by: owner.to_owned(),
            created_at_millis: now_millis,
            used: Vec::new(),
        });
        Ok(made.collect())
    }

    /// The account that the operator names.
    async fn known(&self, input: &Args) -> Result<Did, XrpcError> {
        let did: Did = input.parsed("account")?;
        match self.directory.by_did(&did).await? {
            Some(_) => Ok(did),
            None => Err(XrpcError::named("NotFound", "Account not found")),
        }
    }

    /// A code that was never given: the host's name, and 50 random bits.
    fn fresh_invite(&self) -> String {
        // Dots would make a link of it.
        let host = self.config.hostname.replace('.', "-");
        format!("{host}-{}", fresh_code(self.entropy).to_ascii_lowercase())
    }
}

/// The codes that an account has made of its own; those that the operator gave it do not count.
fn routine(invites: &[Invite]) -> impl Iterator<Item = &Invite> {
    invites.iter().filter(|invite| invite.created_by != OPERATOR)
}

/// How many codes an account may make now: one for each interval of its life behind the epoch, less those that it has
/// made since, and never so many that more than [`MAX_OPEN`] are open.
fn earnable(earned: EarnedInvites, created_at: u64, now: u64, invites: &[Invite]) -> usize {
    let intervals =
        |from: u64, to: u64| to.saturating_sub(from).checked_div(earned.interval_millis).unwrap_or(0);
    // Intervals count from the account's making, also where the epoch came later.
    let since = intervals(created_at, now).saturating_sub(intervals(created_at, earned.epoch_millis));
    let made = routine(invites).filter(|invite| invite.created_at_millis > earned.epoch_millis).count();
    let open = routine(invites).filter(|invite| invite.is_open()).count();
    let left = usize::try_from(since).unwrap_or(usize::MAX).saturating_sub(made);
    left.min(MAX_OPEN.saturating_sub(open))
}

fn use_count(input: &Args) -> Result<u32, XrpcError> {
    let uses = input.number("useCount").filter(|uses| (1..=MAX_USES).contains(uses));
    uses.ok_or_else(|| XrpcError::invalid(format!("useCount must be between 1 and {MAX_USES}")))
}

/// A code as `com.atproto.server.defs#inviteCode`.
pub(super) fn view(invite: &Invite) -> Json {
    let time = |millis: u64| Timestamp::from_micros(millis.saturating_mul(1000)).to_string();
    let uses = invite.used.iter().map(|(by, at)| json!({ "usedBy": by, "usedAt": time(*at) }));
    json!({
        "code": invite.code,
        "available": invite.uses,
        "disabled": invite.disabled,
        "forAccount": invite.for_account,
        "createdBy": invite.created_by,
        "createdAt": time(invite.created_at_millis),
        "uses": uses.collect::<Vec<_>>(),
    })
}

/// Codes of its own that an account has open at the most (reference server).
const MAX_OPEN: usize = 5;
/// Uses of one code at the most: above it, a host without codes is meant.
const MAX_USES: u32 = 1_000_000;
/// Codes, and accounts, of one request at the most: 50 kB of names in a statement.
const MAX_MADE: usize = 500;
/// Codes of a page where the caller says nothing; the lexicon's default.
const DEFAULT_PAGE: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60 * 1000;

    fn invite(by: &str, day: u64, used: usize) -> Invite {
        Invite {
            code: String::new(),
            uses: 1,
            disabled: false,
            for_account: "did:web:a.example".into(),
            created_by: by.into(),
            created_at_millis: day * DAY + 1,
            used: vec![("did:web:b.example".into(), 0); used],
        }
    }

    fn at(epoch: u64, created: u64, now: u64, invites: &[Invite]) -> usize {
        let earned = EarnedInvites { interval_millis: DAY, epoch_millis: epoch * DAY };
        earnable(earned, created * DAY, now * DAY, invites)
    }

    #[test]
    fn an_account_earns_a_code_an_interval_and_has_five_open_at_the_most() {
        assert_eq!([10, 11, 12, 15, 16, 99].map(|now| at(0, 10, now, &[])), [0, 1, 2, 5, 5, 5]);
    }

    #[test]
    fn what_was_made_and_what_is_open_count() {
        let own = |day, used| invite("did:web:a.example", day, used);
        assert_eq!(at(0, 10, 13, &[own(11, 1), own(12, 0)]), 1);
        assert_eq!(at(0, 10, 90, &[own(11, 0), own(12, 0), own(13, 0), own(14, 1)]), 2);
        assert_eq!(at(0, 10, 90, &[own(11, 0), own(12, 0), own(13, 0), own(14, 0), own(15, 0)]), 0);
        // A gift of the operator does not.
        assert_eq!(at(0, 10, 13, &[invite(OPERATOR, 11, 0), invite(OPERATOR, 12, 1)]), 3);
    }

    #[test]
    fn what_was_before_the_epoch_does_not_count() {
        let own = |day, used| invite("did:web:a.example", day, used);
        assert_eq!(at(20, 10, 20, &[]), 0);
        assert_eq!(at(20, 10, 22, &[]), 2);
        assert_eq!(at(20, 10, 22, &[own(12, 1), own(13, 1)]), 2, "made before");
        assert_eq!(at(20, 10, 22, &[own(12, 0), own(20, 0)]), 1, "but open ones do");
        assert_eq!(at(20, 21, 24, &[]), 3, "who came later begins there");
    }
}
