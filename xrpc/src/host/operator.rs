//! Accounts as the operator sees and changes them: `com.atproto.admin` beside takedowns.

use futures_util::future::join_all;
use murmuration_firehose::Timestamp;
use murmuration_platform::Letter;
use murmuration_syntax::Did;
use serde_json::{Map, Value as Json, json};

use super::directory::Entry;
use super::mail::no_mail;
use super::signup::{check_new_password, is_email, unsupported_address};
use super::{Host, invites};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::InternalCall;
use crate::agent::internal::operator::{AccountView, OperatorCall};
use crate::http::Response;

impl Host<'_> {
    /// `com.atproto.admin.getAccountInfo`
    pub(crate) async fn account_info(&self, params: &Args) -> Result<Response, XrpcError> {
        let did: Did = params.parsed("did")?;
        let view = self.operate::<AccountView>(&did, OperatorCall::View).await;
        let view = view.map_err(|error| match is_missing(&error) {
            true => XrpcError::named("NotFound", "Account not found"),
            false => error,
        })?;
        Response::json(&self.with_invites(vec![view]).await?.pop())
    }

    /// `com.atproto.admin.getAccountInfos`: in the order that was asked for, without those that are not there.
    pub(crate) async fn account_infos(&self, params: &Args) -> Result<Response, XrpcError> {
        let texts = params.texts("dids");
        if texts.len() > MAX_INFOS {
            return Err(XrpcError::invalid(format!("Too many dids. Max: {MAX_INFOS}")));
        }
        let found = self.directory.entries(&texts).await?;
        let wanted = texts.iter().filter_map(|text| found.iter().find(|entry| entry.did.as_str() == *text));
        let infos = self.views(wanted.cloned()).await?;
        Response::json(&json!({ "infos": infos }))
    }

    /// `com.atproto.admin.searchAccounts`: accounts whose e-mail address or handle begins with the text, or all.
    pub(crate) async fn search_accounts(&self, params: &Args) -> Result<Response, XrpcError> {
        let limit = params.number("limit").unwrap_or(DEFAULT_PAGE);
        let text = params.text("email").unwrap_or_default().trim().to_lowercase();
        let cursor = params.text("cursor").filter(|cursor| !cursor.is_empty());
        let (found, next) = match text.as_str() {
            "" => self.directory.all(cursor, limit).await?,
            text => self.directory.beginning(text, cursor, limit).await?,
        };
        let mut answer = Map::new();
        answer.extend(next.map(|next| ("cursor".to_owned(), Json::from(next))));
        answer.insert("accounts".into(), self.views(found).await?.into());
        Response::json(&answer)
    }

    /// `com.atproto.admin.deleteAccount`
    pub(crate) async fn delete_any_account(&self, input: &Args) -> Result<Response, XrpcError> {
        let deleted = self.delete_account(&input.parsed("did")?).await;
        deleted.map_err(named_missing("Account not found"))?;
        Ok(Response::empty())
    }

    /// `com.atproto.admin.updateAccountEmail`. Where no letter can confirm an address, the operator's word does.
    pub(crate) async fn update_account_email(&self, input: &Args) -> Result<Response, XrpcError> {
        let name = input.text("account").unwrap_or_default();
        let missing = || XrpcError::invalid(format!("Account does not exist: {name}"));
        let did = self.locate(name).await?.ok_or_else(missing)?;
        let email = input.text("email").unwrap_or_default();
        if !is_email(email) {
            return Err(unsupported_address());
        }
        let confirmed = self.mailer.is_none();
        let set = |email| InternalCall::Operator(OperatorCall::SetEmail { email, confirmed });
        let changed = self.change_address(&did, email, set).await;
        changed.map_err(|error| if is_missing(&error) { missing() } else { error })?;
        Ok(Response::empty())
    }

    /// `com.atproto.admin.updateAccountHandle`: any handle of the right form, reserved and refused words included.
    pub(crate) async fn update_account_handle(&self, input: &Args) -> Result<Response, XrpcError> {
        let (did, handle) = (input.parsed("did")?, input.parsed("handle")?);
        self.change_handle(&did, &handle).await.map_err(named_missing("Account not found"))?;
        Ok(Response::empty())
    }

    /// `com.atproto.admin.updateAccountPassword`
    pub(crate) async fn update_account_password(&self, input: &Args) -> Result<Response, XrpcError> {
        let did: Did = input.parsed("did")?;
        let password = input.text("password").unwrap_or_default();
        check_new_password(password)?;
        let call = OperatorCall::SetPassword { password: password.to_owned() };
        let set = self.operate::<AccountView>(&did, call).await;
        set.map_err(named_missing("Account not found"))?;
        Ok(Response::empty())
    }

    /// `com.atproto.admin.sendEmail`
    pub(crate) async fn send_email(&self, input: &Args) -> Result<Response, XrpcError> {
        let did: Did = input.parsed("recipientDid")?;
        let subject = input.text("subject").unwrap_or(DEFAULT_SUBJECT);
        if subject.chars().any(char::is_control) || subject.len() > MAX_SUBJECT_BYTES {
            return Err(XrpcError::invalid(format!("subject must be one line of {MAX_SUBJECT_BYTES} bytes")));
        }
        let account = self.operate::<AccountView>(&did, OperatorCall::View).await;
        let account = account.map_err(named_missing("Recipient not found"))?;
        let to = account.email.ok_or_else(no_address)?;
        let mailer = self.mailer.ok_or_else(no_mail)?;
        let text = input.text("content").unwrap_or_default().to_owned();
        let letter = Letter { to, subject: subject.to_owned(), text, purpose: "moderation" };
        let sent = mailer.send(letter).await;
        sent.map_err(|error| XrpcError::upstream("The letter could not be sent").because(error))?;
        Response::json(&json!({ "sent": true }))
    }

    /// Has every object show its account, all at once. One that is not there is left out; of one that does not answer, what
    /// the directory knows is shown, so that one broken object hides nothing else.
    async fn views(&self, entries: impl IntoIterator<Item = Entry>) -> Result<Vec<Json>, XrpcError> {
        let ask = async |entry: Entry| match self.operate(&entry.did, OperatorCall::View).await {
            Ok(view) => Some(view),
            Err(error) if is_missing(&error) => None,
            Err(_) => Some(AccountView {
                indexed_at: Timestamp::from_micros(entry.created_at_millis.saturating_mul(1000)).to_string(),
                did: entry.did,
                handle: entry.handle,
                email: entry.email,
                email_confirmed_at: None,
                deactivated_at: None,
            }),
        };
        let views = join_all(entries.into_iter().map(ask)).await;
        self.with_invites(views.into_iter().flatten().collect()).await
    }

    /// Adds what the directory knows of the accounts' invite codes: five statements, for however many.
    async fn with_invites(&self, views: Vec<AccountView>) -> Result<Vec<Json>, XrpcError> {
        let dids: Vec<&str> = views.iter().map(|view| view.did.as_str()).collect();
        let codes = self.directory.invites_of(&dids).await?;
        let stopped = self.directory.stopped_invites(&dids).await?;
        let used = self.directory.invites_used_by(&dids).await?;
        let shown = views.iter().map(|view| {
            let did = view.did.as_str();
            let mut shown = json!(view);
            if let Some(fields) = shown.as_object_mut() {
                let own = codes.iter().filter(|code| code.for_account == did);
                fields.insert("invites".into(), own.map(invites::view).collect());
                fields.insert("invitesDisabled".into(), stopped.contains_key(did).into());
                let note = stopped.get(did).cloned().flatten();
                fields.extend(note.map(|note| ("inviteNote".to_owned(), note.into())));
                let made_with = used.iter().find(|code| code.used.iter().any(|(by, _)| by == did));
                fields.extend(made_with.map(|code| ("invitedBy".to_owned(), invites::view(code))));
            }
            shown
        });
        Ok(shown.collect())
    }
}

/// Words the answer for an account that is not there as the reference server does.
fn named_missing(message: &'static str) -> impl Fn(XrpcError) -> XrpcError {
    move |error| if is_missing(&error) { XrpcError::invalid(message) } else { error }
}

fn is_missing(error: &XrpcError) -> bool {
    matches!(error.error(), "NotFound" | "RepoNotFound")
}

/// The answer where a letter would go to somebody who has no address.
fn no_address() -> XrpcError {
    XrpcError::invalid("account does not have an email address")
}

/// The subject of a letter where the operator gives none (reference server).
const DEFAULT_SUBJECT: &str = "Message via your PDS";
/// Bytes of a subject: a line of RFC 5322, 2.1.1.
const MAX_SUBJECT_BYTES: usize = 998;
/// Accounts of one call of `getAccountInfos`, where the lexicon names no limit: each costs a call of an object, and a request
/// may make 1,000 of them in all.
const MAX_INFOS: usize = 100;
/// Accounts of a page of `searchAccounts` where the caller says nothing; the lexicon's default.
const DEFAULT_PAGE: u32 = 50;
