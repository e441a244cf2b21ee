//! Takedowns: `com.atproto.admin.updateSubjectStatus` and `getSubjectStatus`.
//!
//! The object is the truth. When the directory does not hear of a change of an account, the answer is a fault, and the
//! operator who repeats the call repairs it; until then only lists of names know less than the object.

use murmuration_data::{Ipld, json};
use murmuration_firehose::Timestamp;
use murmuration_syntax::{AtIdentifier, AtUri, Did, RepoPath};
use serde::de::DeserializeOwned;
use serde_json::{Map, json as object};

use super::directory::Status;
use super::{Host, agents};
use crate::XrpcError;
use crate::agent::Args;
use crate::agent::internal::InternalCall;
use crate::agent::internal::operator::{OperatorCall, Subject, SubjectStatus};
use crate::http::Response;
use crate::public::IndexCall;

impl Host<'_> {
    /// `com.atproto.admin.updateSubjectStatus`
    pub(crate) async fn update_subject_status(&self, mut input: Args) -> Result<Response, XrpcError> {
        let given = input.take("subject").unwrap_or(Ipld::Null);
        let (did, subject) = self.subject(&Args::new(given.clone())).await?;
        let takedown = input.take("takedown");
        let taking = takedown.clone().map(Args::new);
        let resting = input.take("deactivated").map(|value| applied(&Args::new(value)));
        if taking.as_ref().is_some_and(applied) && resting == Some(false) {
            return Err(XrpcError::invalid("Cannot activate and takedown an account at the same time"));
        }
        if resting.is_some() && subject != Subject::Account {
            return Err(XrpcError::invalid("Only an account can be deactivated or activated"));
        }
        if let Some(taking) = &taking {
            // As on the reference server, the time stands for a reference that nobody has given.
            let named = || taking.text("ref").map(str::to_owned);
            let now = || Timestamp::from_micros(self.clock.now_micros()).to_string();
            let reference = applied(taking).then(|| named().unwrap_or_else(now));
            let call = OperatorCall::TakeDown { subject: subject.clone(), reference };
            let stands: SubjectStatus = self.operate(&did, call).await?;
            match &subject {
                Subject::Account => self.note_standing(&did, stands.inactive.as_deref()).await?,
                Subject::Record(path) => {
                    let uri = format!("at://{did}/{path}");
                    self.ask_index(IndexCall::Hide { uri, hidden: applied(taking) }).await?
                }
                Subject::Blob(_) => {}
            }
        }
        match resting {
            Some(true) => self.deactivate(&did, None).await.map_err(as_operator)?,
            Some(false) => self.activate(&did).await.map_err(as_operator)?,
            None if taking.is_none() && subject == Subject::Account => {
                self.operate::<SubjectStatus>(&did, OperatorCall::Announce).await?;
            }
            None => {}
        }
        let mut answer = Map::new();
        answer.insert("subject".into(), json::to_value(&given));
        answer.extend(takedown.map(|takedown| ("takedown".to_owned(), json::to_value(&takedown))));
        Response::json(&answer)
    }

    /// `com.atproto.admin.getSubjectStatus`
    pub(crate) async fn subject_status(&self, params: &Args) -> Result<Response, XrpcError> {
        let did: Option<Did> = params.optional("did")?;
        let (did, subject) = match (did, params.text("uri"), params.text("blob")) {
            (Some(did), _, Some(cid)) => (did, Subject::Blob(cid.to_owned())),
            (None, _, Some(_)) => {
                return Err(XrpcError::invalid("Must provide a did to request blob state"));
            }
            (_, Some(uri), None) => self.record(uri).await?,
            (Some(did), None, None) => (did, Subject::Account),
            (None, None, None) => return Err(XrpcError::invalid("No provided subject")),
        };
        let stands: SubjectStatus = self.operate(&did, OperatorCall::Status(subject.clone())).await?;
        let mut answer = Map::new();
        answer.insert(
            "subject".into(),
            match subject {
                Subject::Account => object!({ "$type": REPO, "did": did }),
                Subject::Record(path) => {
                    let uri = params.text("uri").map_or_else(|| format!("at://{did}/{path}"), str::to_owned);
                    object!({ "$type": RECORD, "uri": uri, "cid": stands.cid })
                }
                Subject::Blob(cid) => object!({ "$type": BLOB, "did": did, "cid": cid }),
            },
        );
        let mut takedown = object!({ "applied": stands.takedown.is_some() });
        if let (Some(reference), Some(fields)) = (stands.takedown, takedown.as_object_mut()) {
            fields.insert("ref".into(), reference.into());
        }
        answer.insert("takedown".into(), takedown);
        if let Some(deactivated) = stands.deactivated {
            answer.insert("deactivated".into(), object!({ "applied": deactivated }));
        }
        Response::json(&answer)
    }

    /// Makes a call of the operator. An account that is not there is a subject that is not there.
    pub(super) async fn operate<T: DeserializeOwned>(
        &self,
        did: &Did,
        call: OperatorCall,
    ) -> Result<T, XrpcError> {
        agents::ask(self.agents, did, InternalCall::Operator(call)).await.map_err(as_operator)
    }

    /// Notes in the directory why an account is not served, or that it is.
    async fn note_standing(&self, did: &Did, inactive: Option<&str>) -> Result<(), XrpcError> {
        let status = match inactive {
            None => Status::Active,
            Some("deactivated") => Status::Deactivated,
            Some(_) => Status::Takendown,
        };
        if !self.directory.set_status(did, status).await? {
            // The account is there, and its creation died before it could say so.
            self.directory.activate(did).await?;
            self.directory.set_status(did, status).await?;
        }
        Ok(())
    }

    /// The account and the part of it that a subject names.
    async fn subject(&self, given: &Args) -> Result<(Did, Subject), XrpcError> {
        match given.text("$type") {
            Some(REPO) => Ok((given.parsed("did")?, Subject::Account)),
            Some(RECORD) => self.record(given.text("uri").unwrap_or_default()).await,
            Some(BLOB) => Ok((
                given.parsed("did")?,
                Subject::Blob(given.parsed::<murmuration_data::Cid>("cid")?.to_string()),
            )),
            other => Err(XrpcError::invalid(format!("Invalid subject ({})", other.unwrap_or("no $type")))),
        }
    }

    /// The account and the record of an AT URI, which may name the account by its handle.
    async fn record(&self, uri: &str) -> Result<(Did, Subject), XrpcError> {
        let uri = AtUri::parse(uri).map_err(|error| XrpcError::invalid(error.to_string()))?;
        let (Some(collection), Some(rkey)) = (uri.collection(), uri.rkey()) else {
            return Err(XrpcError::invalid("uri must name a record"));
        };
        let path = RepoPath::new(collection.clone(), rkey.clone());
        let did = match uri.authority() {
            AtIdentifier::Did(did) => Some(did.clone()),
            AtIdentifier::Handle(handle) => self.directory.by_handle(handle).await?.map(|entry| entry.did),
        };
        let did = did.ok_or_else(|| XrpcError::named("NotFound", "Subject not found"))?;
        Ok((did, Subject::Record(path.to_string())))
    }
}

/// An error that was meant for the owner of an account, as the operator is to see it: of the account, not of the caller.
fn as_operator(error: XrpcError) -> XrpcError {
    match error.error() {
        "RepoNotFound" | "AccountNotFound" => XrpcError::named("NotFound", "Subject not found"),
        "AccountTakedown" => XrpcError::named("AccountTakedown", error.message()),
        _ => error,
    }
}

fn applied(status: &Args) -> bool {
    status.flag("applied").unwrap_or(false)
}

const REPO: &str = "com.atproto.admin.defs#repoRef";
const RECORD: &str = "com.atproto.repo.strongRef";
const BLOB: &str = "com.atproto.admin.defs#repoBlobRef";
