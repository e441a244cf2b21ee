//! Whose messages an agent takes.
//!
//! Where it says nothing, it takes those of agents of the same host and of whoever it has written to in the thread, and
//! puts those of strangers into quarantine, where they wait until it allows their sender. Its declaration says otherwise of
//! everybody, and its contacts of one; a contact comes first.

use murmuration_data::Ipld;

use crate::{Body, CommsError, Parcel};

/// What an agent's declaration says (`agent.comms.declaration`).
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Declaration {
    incoming: Incoming,
    require_sealed: bool,
    accept_types: Option<Vec<String>>,
    max_parcel_bytes: Option<usize>,
}

/// Who may send.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Incoming {
    /// Nothing is said.
    #[default]
    Unsaid,
    All,
    Known,
    Allowlist,
    None,
}

/// What an agent's contact record says of a sender (`agent.comms.contact`).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Contact {
    /// Its messages are taken.
    Allowed,
    /// Its messages go into quarantine.
    Muted,
    /// Its messages are refused.
    Blocked,
}

/// What is known of a sender.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Acquaintance {
    /// What the agent says of it.
    pub contact: Option<Contact>,
    /// Whether it is of the same host.
    pub same_host: bool,
    /// Whether the agent has written to it in the same thread.
    pub written_to: bool,
}

/// Where a message goes that is taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Into the inbox.
    Accept,
    /// Into quarantine.
    Quarantine,
}

impl Declaration {
    /// What a record says. What is not understood says nothing; a word that is unknown for who may send is taken for the
    /// strictest.
    #[must_use]
    pub fn of(record: &Ipld) -> Self {
        let Ipld::Map(fields) = record else { return Self::default() };
        let incoming = match fields.get("allowIncoming") {
            Some(Ipld::String(word)) => match word.as_str() {
                "all" => Incoming::All,
                "known" => Incoming::Known,
                "allowlist" => Incoming::Allowlist,
                _ => Incoming::None,
            },
            _ => Incoming::Unsaid,
        };
        let accept_types = match fields.get("acceptTypes") {
            Some(Ipld::List(items)) => Some(items.iter().filter_map(text).map(str::to_owned).collect()),
            _ => None,
        };
        let max_parcel_bytes = match fields.get("maxParcelBytes") {
            Some(Ipld::Integer(bytes)) => usize::try_from(*bytes).ok(),
            _ => None,
        };
        let require_sealed = matches!(fields.get("requireSealed"), Some(Ipld::Bool(true)));
        Self { incoming, require_sealed, accept_types, max_parcel_bytes }
    }

    /// Where a parcel goes; `bytes` is its size.
    ///
    /// # Errors
    /// Why it goes nowhere: [`CommsError::NotAllowed`], [`CommsError::SealRequired`], [`CommsError::TooLarge`].
    pub fn judge(&self, parcel: &Parcel, bytes: usize, sender: Acquaintance) -> Result<Verdict, CommsError> {
        let verdict = self.judge_sender(sender)?;
        let kind = parcel.header().kind.as_str();
        if self.accept_types.as_ref().is_some_and(|types| !types.iter().any(|taken| taken == kind)) {
            return Err(CommsError::NotAllowed("messages of this type are not accepted"));
        }
        if self.require_sealed && matches!(parcel.body(), Body::Open(_)) {
            return Err(CommsError::SealRequired);
        }
        match self.max_parcel_bytes {
            Some(most) if bytes > most => Err(CommsError::TooLarge(most)),
            _ => Ok(verdict),
        }
    }

    /// Where the messages of a sender go.
    ///
    /// # Errors
    /// [`CommsError::NotAllowed`].
    pub fn judge_sender(&self, sender: Acquaintance) -> Result<Verdict, CommsError> {
        match sender.contact {
            Some(Contact::Allowed) => return Ok(Verdict::Accept),
            Some(Contact::Blocked) => return Err(CommsError::NotAllowed("the sender is blocked")),
            Some(Contact::Muted) => return Ok(Verdict::Quarantine),
            None => {}
        }
        match self.incoming {
            Incoming::All => Ok(Verdict::Accept),
            Incoming::Unsaid | Incoming::Known if sender.same_host || sender.written_to => {
                Ok(Verdict::Accept)
            }
            Incoming::Unsaid | Incoming::Known => Ok(Verdict::Quarantine),
            Incoming::Allowlist | Incoming::None => {
                Err(CommsError::NotAllowed("the recipient takes messages of its contacts only"))
            }
        }
    }
}

impl Contact {
    /// What a record says. A word that is unknown says nothing.
    #[must_use]
    pub fn of(record: &Ipld) -> Option<Self> {
        let Ipld::Map(fields) = record else { return None };
        match text(fields.get("status")?)? {
            "allowed" => Some(Self::Allowed),
            "muted" => Some(Self::Muted),
            "blocked" => Some(Self::Blocked),
            _ => None,
        }
    }
}

fn text(value: &Ipld) -> Option<&str> {
    if let Ipld::String(text) = value { Some(text) } else { None }
}

#[cfg(test)]
mod tests {
    use murmuration_data::json;

    use super::*;

    fn outcome(declaration: &str, sender: Acquaintance) -> &'static str {
        let record = json::parse(declaration.as_bytes()).unwrap();
        match Declaration::of(&record).judge_sender(sender) {
            Ok(Verdict::Accept) => "accept",
            Ok(Verdict::Quarantine) => "quarantine",
            Err(_) => "refuse",
        }
    }

    #[test]
    fn each_declaration_has_its_verdict_on_each_kind_of_sender() {
        let stranger = Acquaintance::default();
        let neighbour = Acquaintance { same_host: true, ..stranger };
        let answered = Acquaintance { written_to: true, ..stranger };
        for (declaration, verdicts) in [
            ("{}", ["quarantine", "accept", "accept"]),
            (r#"{"allowIncoming":"all"}"#, ["accept", "accept", "accept"]),
            (r#"{"allowIncoming":"known"}"#, ["quarantine", "accept", "accept"]),
            (r#"{"allowIncoming":"allowlist"}"#, ["refuse", "refuse", "refuse"]),
            (r#"{"allowIncoming":"none"}"#, ["refuse", "refuse", "refuse"]),
            (r#"{"allowIncoming":"friends of friends"}"#, ["refuse", "refuse", "refuse"]),
        ] {
            assert_eq!([stranger, neighbour, answered].map(|who| outcome(declaration, who)), verdicts);
            // A contact comes before all of it.
            for (contact, verdict) in
                [(Contact::Allowed, "accept"), (Contact::Muted, "quarantine"), (Contact::Blocked, "refuse")]
            {
                for who in [stranger, neighbour, answered] {
                    let who = Acquaintance { contact: Some(contact), ..who };
                    assert_eq!(outcome(declaration, who), verdict, "{declaration} {who:?}");
                }
            }
        }
    }

    #[test]
    fn a_contact_says_one_of_three_words() {
        let of =
            |word: &str| Contact::of(&json::parse(format!(r#"{{"status":"{word}"}}"#).as_bytes()).unwrap());
        assert_eq!(of("allowed"), Some(Contact::Allowed));
        assert_eq!(of("blocked"), Some(Contact::Blocked));
        assert_eq!(of("muted"), Some(Contact::Muted));
        assert_eq!(of("adored"), None);
    }
}
