//! Whose word a memory is.

use murmuration_data::Ipld;

use crate::secret::Secret;

/// Who has said what a memory says, as its record has it. Nothing is proved by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// `self`, `operator`, `agent`, `tool`, `web`, `import`, or what a client has made of it.
    pub kind: String,
    /// Which agent, or which page.
    pub who: Option<String>,
}

impl Origin {
    /// That of a record: the agent's own, if it does not say.
    #[must_use]
    pub fn of(record: &Ipld) -> Self {
        let text = |value: &Ipld, name: &str| match value {
            Ipld::Map(fields) => match fields.get(name) {
                Some(Ipld::String(text)) => Some(text.clone()),
                _ => None,
            },
            _ => None,
        };
        let said = match record {
            Ipld::Map(fields) => fields.get("provenance"),
            _ => None,
        };
        let Some(said) = said else { return Self { kind: "self".into(), who: None } };
        let who = text(said, "agent").or_else(|| text(said, "uri"));
        Self { kind: text(said, "kind").unwrap_or_else(|| "unknown".into()), who }
    }

    /// Whether it is the agent's or its operator's word.
    #[must_use]
    pub fn is_own(&self) -> bool {
        matches!(self.kind.as_str(), "self" | "operator") && self.who.is_none()
    }

    /// What tells the words of others apart, as a keyed hash; `None` for the agent's own.
    pub(crate) fn mark(&self, secret: &Secret) -> Option<u32> {
        // A line break is in no kind that a lexicon has let through, and a mark that two share only keeps their memories together.
        let [a, b, c, d, ..] = secret
            .name("origin", format!("{}\n{}", self.kind, self.who.as_deref().unwrap_or_default()).as_bytes());
        (!self.is_own()).then_some(u32::from_be_bytes([a, b, c, d]))
    }
}
