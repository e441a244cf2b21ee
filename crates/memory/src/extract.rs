//! From what was said to what is worth remembering.
//!
//! An [`Extractor`] reads turns of one speaker and gives records without provenance: whose word they are is not its to say. The host
//! puts that on, from who has spoken. So a text cannot make itself the agent's own word, whoever reads it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use murmuration_data::Ipld;

/// Something that was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The text.
    pub text: String,
    /// When, as a datetime, if that is known.
    pub at: Option<String>,
}

/// Why nothing was extracted. Says nothing of what was said.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the extractor gave nothing: {0}")]
pub struct ExtractError(pub String);

/// The future of what was extracted: records of `agent.memory` with their `$type`. Not `Send`: a Worker has one thread.
pub type ExtractFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<Ipld>, ExtractError>> + 'a>>;

/// Something that finds in turns what is worth remembering.
pub trait Extractor {
    /// Which one it is. At most 128 bytes.
    fn id(&self) -> &str;

    /// What is worth remembering of some turns, all of one speaker, in their order. Records may lack what the host knows, such as
    /// `createdAt`, and are validated by it.
    fn extract<'a>(&'a self, turns: &'a [Turn]) -> ExtractFuture<'a>;
}

/// The extractor that needs no model: it takes what is said outright, sentence by sentence, and nothing else.
///
/// | a sentence that begins with | becomes |
/// |---|---|
/// | `remember`, `note`, `don't forget`, `keep in mind`, with or without `please` and `that` | a note of the rest |
/// | `we decided`, `I decided`, `decision:`, with or without `to` or `that` | a decision, accepted; what follows `because` is its rationale |
/// | `I learned that`, `we learned that`, `lesson:`, `it turns out that` | a learning |
/// | `my … is …`, `our … is …`, `I live in …`, `I work at …`, `I am called …` | a fact of the speaker |
/// | `I prefer …`, `I like …`, `I never …`, `I always …`, and so on | a note with the tag `preference` |
///
/// Questions, and sentences of more than [`MAX_SENTENCE`] letters, are nothing. Letters count without their case; what is kept is as it was
/// said.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules;

impl Extractor for Rules {
    fn id(&self) -> &'static str {
        "rules-1"
    }

    fn extract<'a>(&'a self, turns: &'a [Turn]) -> ExtractFuture<'a> {
        let found = turns.iter().flat_map(memories_of).collect();
        Box::pin(async move { Ok(found) })
    }
}

fn memories_of(turn: &Turn) -> Vec<Ipld> {
    let mut found: Vec<Ipld> = sentences(&turn.text).into_iter().filter_map(memory_of).collect();
    for record in &mut found {
        if let (Ipld::Map(fields), Some(at)) = (record, &turn.at) {
            fields.insert("createdAt".into(), Ipld::String(at.clone()));
        }
    }
    found
}

/// Sentences of a text, without the marks at their ends; questions are left out.
fn sentences(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for line in text.lines() {
        let mut rest = line;
        while !rest.is_empty() {
            // A mark ends a sentence where a space follows it: one in a version or a name does not.
            let end = rest.char_indices().find(|(at, letter)| {
                let behind = rest.get(at + letter.len_utf8()..).unwrap_or_default();
                matches!(letter, '.' | '!' | '?')
                    && (behind.is_empty() || behind.starts_with(char::is_whitespace))
            });
            let (sentence, behind, mark) = match end {
                Some((at, mark)) => {
                    let (sentence, behind) = rest.split_at(at);
                    (sentence, behind.get(mark.len_utf8()..).unwrap_or_default(), mark)
                }
                None => (rest, "", '.'),
            };
            let sentence = sentence.trim().trim_start_matches(['-', '*', '>', ' ']);
            if mark != '?' && !sentence.is_empty() && sentence.chars().count() <= MAX_SENTENCE {
                found.push(sentence);
            }
            rest = behind.trim_start();
        }
    }
    found
}

fn memory_of(sentence: &str) -> Option<Ipld> {
    let sentence = behind(sentence, &["please "]).unwrap_or(sentence);
    if let Some(rest) = behind(sentence, &NOTES) {
        return Some(record("note", &[("summary", rest)]));
    }
    if let Some(rest) = behind(sentence, &DECISIONS) {
        let (decision, rationale) = match find(rest, BECAUSE) {
            Some((decision, why)) => (decision, why),
            None => (rest, ""),
        };
        let fields =
            [("decision", decision), ("context", sentence), ("rationale", rationale), ("status", "accepted")];
        return Some(record("decision", &fields));
    }
    if let Some(rest) = behind(sentence, &LEARNINGS) {
        return Some(record("learning", &[("statement", rest)]));
    }
    if let Some(fact) = fact_of(sentence) {
        return Some(fact);
    }
    behind(sentence, &PREFERENCES)?;
    let Ipld::Map(mut fields) = record("note", &[("summary", sentence)]) else { return None };
    fields.insert("tags".into(), Ipld::List(vec![Ipld::String("preference".into())]));
    Some(Ipld::Map(fields))
}

/// A fact that a sentence says of its speaker. Its subject is left to the host, which knows who that is.
fn fact_of(sentence: &str) -> Option<Ipld> {
    if let Some(rest) = behind(sentence, &["my ", "our "]) {
        let (name, object) = find(rest, " is ").or_else(|| find(rest, " are "))?;
        return (name.chars().count() <= MAX_NAME && !object.is_empty())
            .then(|| record("fact", &[("predicate", name), ("object", object)]));
    }
    FACTS.iter().find_map(|(beginning, predicate)| {
        let object = behind(sentence, &[beginning])?;
        Some(record("fact", &[("predicate", predicate), ("object", object)]))
    })
}

/// What follows one of some beginnings, whatever their case; the first of them that fits. Nothing, if nothing follows.
fn behind<'a>(text: &'a str, beginnings: &[&str]) -> Option<&'a str> {
    let found = beginnings.iter().find_map(|beginning| {
        let head = text.get(..beginning.len())?;
        head.eq_ignore_ascii_case(beginning).then(|| text.get(beginning.len()..))?
    });
    found.map(str::trim).filter(|rest| !rest.is_empty())
}

/// What is before and behind the first occurrence of a part, whatever its case.
fn find<'a>(text: &'a str, part: &str) -> Option<(&'a str, &'a str)> {
    // ASCII letters alone change, so places in one are places in the other.
    let at = text.to_ascii_lowercase().find(part)?;
    Some((text.get(..at)?.trim(), text.get(at + part.len()..)?.trim()))
}

fn record(kind: &str, fields: &[(&str, &str)]) -> Ipld {
    let text = |text: &str| Ipld::String(text.to_owned());
    let mut record = BTreeMap::from([("$type".to_owned(), text(&format!("agent.memory.{kind}")))]);
    record.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), text(value))));
    Ipld::Map(record)
}

/// The beginnings of what is to be noted. The longer before the shorter.
const NOTES: [&str; 12] = [
    "remember that ",
    "remember to ",
    "remember: ",
    "remember ",
    "note that ",
    "note: ",
    "don't forget that ",
    "don't forget to ",
    "don't forget ",
    "do not forget ",
    "keep in mind that ",
    "keep in mind: ",
];

const DECISIONS: [&str; 9] = [
    "we have decided to ",
    "we've decided to ",
    "we decided to ",
    "we decided that ",
    "we decided on ",
    "i decided to ",
    "i decided that ",
    "the decision is to ",
    "decision: ",
];

const LEARNINGS: [&str; 6] = [
    "i learned that ",
    "we learned that ",
    "i learnt that ",
    "it turns out that ",
    "lesson learned: ",
    "lesson: ",
];

const PREFERENCES: [&str; 8] =
    ["i prefer ", "i like ", "i love ", "i dislike ", "i hate ", "i always ", "i never ", "i want you to "];

/// Beginnings of facts about the speaker, and their predicates.
const FACTS: [(&str, &str); 6] = [
    ("i live in ", "lives in"),
    ("i work at ", "works at"),
    ("i work for ", "works at"),
    ("i work as ", "works as"),
    ("i am called ", "name"),
    ("call me ", "name"),
];

const BECAUSE: &str = " because ";

/// Letters of a sentence, at most: those of a summary.
const MAX_SENTENCE: usize = 300;

/// Letters of a predicate, at most: those of the lexicon.
const MAX_NAME: usize = 64;
