//! What of a record is searched: its text, and what of it filters and ranks.

use murmuration_data::Ipld;
use murmuration_syntax::datetime;

/// What is searched of a record, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Essence {
    /// All that it says, a part a line.
    pub text: String,
    /// Its tags.
    pub tags: Vec<String>,
    /// How much it matters, from 0 to 1,000; `None` if it does not say.
    pub importance: Option<u16>,
    /// From when to when what it says holds, in microseconds since the Unix epoch.
    pub valid: (Option<u64>, Option<u64>),
}

impl Essence {
    /// That of a record.
    #[must_use]
    pub fn of(record: &Ipld) -> Self {
        let mut lines = Vec::new();
        for name in TEXTS {
            match field(record, name) {
                Some(Ipld::String(text)) => lines.push(text.as_str()),
                Some(Ipld::List(items)) => lines.extend(items.iter().filter_map(text_of)),
                _ => {}
            }
        }
        if let Some(Ipld::List(entities)) = field(record, "entities") {
            lines.extend(entities.iter().filter_map(|entity| text_of(field(entity, "name")?)));
        }
        let tags = match field(record, "tags") {
            Some(Ipld::List(tags)) => tags.iter().filter_map(text_of).map(str::to_owned).collect(),
            _ => Vec::new(),
        };
        let importance = match field(record, "importance") {
            Some(Ipld::Integer(number)) => u16::try_from(*number).ok(),
            _ => None,
        };
        let validity = field(record, "validity");
        let moment = |name| validity.and_then(|validity| micros(field(validity, name)?));
        let valid = (moment("validFrom"), moment("validTo"));
        Self { text: lines.join("\n"), tags, importance, valid }
    }
}

/// The moment of a text, in microseconds since the Unix epoch: those before it are at it, and those that the storage does not count any
/// more, from the year 2255 on, are at the last that it does.
#[must_use]
pub fn moment(text: &str) -> Option<u64> {
    let micros = datetime::micros(text).ok()?;
    Some(u64::try_from(micros).unwrap_or_default().min(MAX_MICROS))
}

fn field<'a>(record: &'a Ipld, name: &str) -> Option<&'a Ipld> {
    match record {
        Ipld::Map(fields) => fields.get(name),
        _ => None,
    }
}

fn text_of(value: &Ipld) -> Option<&str> {
    match value {
        Ipld::String(text) => Some(text),
        _ => None,
    }
}

fn micros(value: &Ipld) -> Option<u64> {
    moment(text_of(value)?)
}

/// The last microsecond that the storage counts: 2^53 - 1, as JavaScript does.
pub(crate) const MAX_MICROS: u64 = (1 << 53) - 1;

/// The fields of all kinds of memories that say something, what says it shortest first.
const TEXTS: [&str; 12] = [
    "summary",
    "decision",
    "subject",
    "predicate",
    "object",
    "statement",
    "tags",
    "rationale",
    "context",
    "options",
    "text",
    "source",
];
