//! Values that fit a lexicon, and values that do not, from the documents themselves.

use std::collections::BTreeMap;
use std::path::Path;

use murmuration_xrpc::table;
use serde_json::{Map, Value, json};

use super::{Victim, pick};
use crate::Dice;

/// Every document, by NSID.
#[derive(Debug)]
pub(super) struct Lexicons(BTreeMap<String, Value>);

/// Longest text that is made to be too long.
const MAX_TEXT: usize = 100_000;

impl Lexicons {
    pub(super) fn read() -> Self {
        let mut documents = BTreeMap::new();
        for folder in ["lexicons/generated", "lexicons/agent"] {
            collect(&xtask::root().join(folder), &mut documents);
        }
        Self(documents)
    }

    /// The main definition of a method.
    pub(super) fn method(&self, nsid: &str) -> Value {
        self.0.get(nsid).unwrap_or_else(|| panic!("no lexicon of {nsid}"))["defs"]["main"].clone()
    }

    pub(super) fn parameters(&self, nsid: &str) -> Value {
        self.method(nsid)["parameters"].clone()
    }

    /// Parameters that fit: all that the method has.
    pub(super) fn fitting_parameters(&self, nsid: &str, victim: &Victim) -> Vec<(String, String)> {
        let schema = self.parameters(nsid);
        let mut pairs = Vec::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            let value = self.fitting(nsid, name, schema, victim);
            for value in value.as_array().cloned().unwrap_or_else(|| vec![value]) {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                pairs.push((name.clone(), text));
            }
        }
        pairs
    }

    /// Breaks a parameter.
    pub(super) fn wrong_parameter(
        &self,
        schema: &Value,
        fitting: &[(String, String)],
        dice: &mut Dice,
    ) -> Option<(String, Vec<(String, String)>)> {
        let properties: Vec<_> = schema["properties"].as_object()?.iter().collect();
        let (name, property) = *properties.get(pick(dice, properties.len()))?;
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|n| n == name));
        let others = || fitting.iter().filter(|(known, _)| known != name).cloned();
        let one = |value: String| others().chain([(name.clone(), value)]).collect::<Vec<_>>();
        let array = property["type"] == "array";
        match dice.roll(4) {
            0 if required => Some((format!("without {name}"), others().collect())),
            1 if required => Some((format!("with an empty {name}"), one(String::new()))),
            2 if !array => {
                let twice = fitting.iter().cloned().chain([(name.clone(), "1".to_owned())]).collect();
                Some((format!("with {name} twice"), twice))
            }
            2 => {
                let most = usize::try_from(property["maxLength"].as_u64()?).unwrap();
                let (_, value) = fitting.iter().find(|(known, _)| known == name)?;
                if most * value.len() > 14_000 {
                    return None;
                }
                let many = (0..=most).map(|_| (name.clone(), value.clone()));
                Some((format!("with {} of {name}", most + 1), others().chain(many).collect()))
            }
            _ => {
                let schema = if array { &property["items"] } else { property };
                let value = wrong_texts(schema);
                let value = value.get(pick(dice, value.len()))?.clone();
                Some((format!("with {name}={value:.40}"), one(value)))
            }
        }
    }

    /// A body that fits.
    pub(super) fn fitting_body(&self, nsid: &str, victim: &Victim) -> Value {
        self.fitting(nsid, "", &self.method(nsid)["input"]["schema"], victim)
    }

    /// Breaks a body somewhere.
    pub(super) fn wrong_body(&self, nsid: &str, mut body: Value, dice: &mut Dice) -> Option<(String, Value)> {
        let schema = self.method(nsid)["input"]["schema"].clone();
        let mut places = Vec::new();
        self.places(nsid, &schema, &mut Vec::new(), &body, &mut places);
        if places.is_empty() {
            return None;
        }
        let Place { path, document, schema, required, nullable } =
            places.swap_remove(pick(dice, places.len()));
        let (last, parents) = path.split_last()?;
        let parent = parents.iter().fold(&mut body, |value, step| match step.parse::<usize>() {
            Ok(index) if value.is_array() => &mut value[index],
            _ => &mut value[step.as_str()],
        });
        let at = path.join("/");
        let parent = parent.as_object_mut()?;
        if required && dice.roll(4) == 0 {
            parent.remove(last);
            return Some((format!("without {at}"), body));
        }
        let wrong = self.wrong_values(&document, &schema, nullable);
        let value = wrong.get(pick(dice, wrong.len()))?.clone();
        let shown = value.to_string();
        parent.insert(last.clone(), value);
        Some((format!("with {at} = {shown:.60}"), body))
    }

    /// Every member of a value that a schema speaks of.
    fn places(
        &self,
        document: &str,
        schema: &Value,
        path: &mut Vec<String>,
        value: &Value,
        found: &mut Vec<Place>,
    ) {
        let (document, schema) = self.resolve(document, schema);
        match schema["type"].as_str() {
            Some("object") => {
                let holds = |list: &Value, name: &str| {
                    list.as_array().is_some_and(|names| names.iter().any(|known| known == name))
                };
                for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                    path.push(name.clone());
                    found.push(Place {
                        path: path.clone(),
                        document: document.clone(),
                        schema: property.clone(),
                        // What is left out and has a default is put in.
                        required: holds(&schema["required"], name) && property.get("default").is_none(),
                        nullable: holds(&schema["nullable"], name),
                    });
                    self.places(&document, property, path, &value[name.as_str()], found);
                    path.pop();
                }
            }
            Some("array") => {
                if let Some(first) = value.get(0) {
                    path.push("0".to_owned());
                    self.places(&document, &schema["items"], path, first, found);
                    path.pop();
                }
            }
            Some("union") => {
                let kind = schema["refs"].as_array().and_then(|refs| refs.first()).cloned();
                if let Some(kind) = kind {
                    self.places(&document, &json!({ "type": "ref", "ref": kind }), path, value, found);
                }
            }
            _ => {}
        }
    }

    fn fitting(&self, document: &str, name: &str, schema: &Value, victim: &Victim) -> Value {
        let (document, schema) = self.resolve(document, schema);
        match schema["type"].as_str().unwrap_or_default() {
            "boolean" => json!(true),
            "integer" => schema.get("minimum").cloned().unwrap_or(json!(1)),
            "string" => fitting_text(name, &schema, victim),
            "bytes" => json!({ "$bytes": "AA" }),
            "cid-link" => json!({ "$link": victim.commit }),
            "blob" => {
                json!({ "$type": "blob", "ref": { "$link": BLOB }, "mimeType": "image/png", "size": 1 })
            }
            "array" => json!([self.fitting(&document, name, &schema["items"], victim)]),
            "object" | "record" => {
                let object = if schema["type"] == "record" { &schema["record"] } else { &schema };
                let properties = object["properties"].as_object().into_iter().flatten();
                let members: Map<String, Value> = properties
                    .map(|(name, schema)| (name.clone(), self.fitting(&document, name, schema, victim)))
                    .collect();
                Value::Object(members)
            }
            "union" => {
                let kind = schema["refs"][0].as_str().unwrap_or_default().to_owned();
                let mut value = self.fitting(&document, name, &json!({ "type": "ref", "ref": kind }), victim);
                let full = if kind.starts_with('#') { format!("{document}{kind}") } else { kind };
                value["$type"] = json!(full);
                value
            }
            _ => json!({ "$type": "com.example.note", "text": "x" }),
        }
    }

    /// Values that a schema must refuse.
    fn wrong_values(&self, document: &str, schema: &Value, nullable: bool) -> Vec<Value> {
        let (_, schema) = self.resolve(document, schema);
        let kind = schema["type"].as_str().unwrap_or_default();
        let mut wrong = match kind {
            "boolean" => vec![json!("true"), json!(1), json!({}), json!([])],
            "integer" => vec![json!("1"), json!(1.5), json!(1_u64 << 60), json!(true), json!([1])],
            "string" => vec![json!(5), json!(true), json!([]), json!({}), json!({ "$link": BLOB })],
            "array" => vec![json!({}), json!("x"), json!(5), json!([5.5]), json!(true)],
            "bytes" | "cid-link" | "blob" => vec![json!("x"), json!(5), json!([]), json!({})],
            "unknown" => vec![json!("x"), json!(5), json!([]), json!({ "a": 1.5 }), deep(40), deep(100)],
            _ => vec![json!("x"), json!(5), json!([]), json!(true)],
        };
        if !nullable {
            wrong.push(Value::Null);
        }
        let size = |name: &str| schema[name].as_u64().map(|most| usize::try_from(most).unwrap());
        match kind {
            "string" => {
                if schema.get("format").is_some() {
                    wrong.extend([json!(NO_FORMAT), json!("\0")]);
                }
                wrong.extend(size("maxLength").filter(|n| *n < MAX_TEXT).map(|n| json!("a".repeat(n + 1))));
                wrong
                    .extend(size("maxGraphemes").filter(|n| *n < MAX_TEXT).map(|n| json!("é".repeat(n + 1))));
                wrong.extend(schema.get("enum").map(|_| json!("none of these")));
            }
            "integer" => {
                wrong.extend(schema["maximum"].as_i64().map(|most| json!(most + 1)));
                wrong.extend(schema["minimum"].as_i64().map(|least| json!(least - 1)));
            }
            "array" => {
                wrong
                    .extend(size("maxLength").filter(|n| *n < 5000).map(|n| json!(vec![Value::Null; n + 1])));
                wrong.push(json!([Value::Null]));
            }
            _ => {}
        }
        wrong
    }

    fn resolve(&self, document: &str, schema: &Value) -> (String, Value) {
        if schema["type"] != "ref" {
            return (document.to_owned(), schema.clone());
        }
        let target = schema["ref"].as_str().unwrap();
        let (other, name) = target.split_once('#').unwrap_or((target, "main"));
        let other = if other.is_empty() { document } else { other };
        let definition =
            self.0.get(other).unwrap_or_else(|| panic!("no lexicon of {other}"))["defs"][name].clone();
        self.resolve(other, &definition)
    }
}

/// A member of a body.
struct Place {
    path: Vec<String>,
    document: String,
    schema: Value,
    required: bool,
    nullable: bool,
}

/// Arrays that a method of the table takes and its lexicon does not bound: `nsid path`, in order.
#[must_use]
pub fn unbounded_arrays() -> Vec<String> {
    let lexicons = Lexicons::read();
    let mut found = Vec::new();
    for method in table::methods() {
        let main = lexicons.method(method.nsid);
        for schema in [&main["parameters"], &main["input"]["schema"]] {
            lexicons.arrays(method.nsid, schema, &mut Vec::new(), &mut |path| {
                found.push(format!("{} {path}", method.nsid));
            });
        }
    }
    found
}

impl Lexicons {
    fn arrays(&self, document: &str, schema: &Value, path: &mut Vec<String>, found: &mut dyn FnMut(String)) {
        let (document, schema) = self.resolve(document, schema);
        if path.len() > 12 {
            return;
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            path.push(name.clone());
            self.arrays(&document, property, path, found);
            path.pop();
        }
        if schema["type"] == "array" {
            if schema.get("maxLength").is_none() {
                found(path.join("/"));
            }
            self.arrays(&document, &schema["items"], path, found);
        }
        for kind in schema["refs"].as_array().into_iter().flatten() {
            self.arrays(&document, &json!({ "type": "ref", "ref": kind }), path, found);
        }
    }
}

fn collect(folder: &Path, documents: &mut BTreeMap<String, Value>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            collect(&path, documents);
        } else if path.extension().is_some_and(|end| end == "json") {
            let document: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            documents.insert(document["id"].as_str().unwrap().to_owned(), document);
        }
    }
}

fn fitting_text(name: &str, schema: &Value, victim: &Victim) -> Value {
    if let Some(known) = schema.get("enum").or_else(|| schema.get("const").map(|_| &Value::Null)) {
        return if known.is_null() { schema["const"].clone() } else { known[0].clone() };
    }
    let text = match (schema["format"].as_str().unwrap_or_default(), name) {
        ("did" | "at-identifier", _) => victim.did.clone(),
        ("handle", _) => victim.handle.clone(),
        ("nsid", _) => "com.example.note".to_owned(),
        ("cid", _) => victim.commit.clone(),
        ("tid", _) => "3jzfcijpj2z2a".to_owned(),
        ("record-key", _) => "self".to_owned(),
        ("datetime", _) => "2026-11-23T04:00:00.000Z".to_owned(),
        ("at-uri", _) => format!("at://{}/com.example.note/self", victim.did),
        ("uri", _) => "https://example.com/".to_owned(),
        ("language", _) => "en".to_owned(),
        (_, "cursor") => String::from("3jzfcijpj2z2a"),
        _ => "x".to_owned(),
    };
    json!(text)
}

/// Texts of a parameter that its schema must refuse.
fn wrong_texts(schema: &Value) -> Vec<String> {
    let texts: &[&str] = match schema["type"].as_str().unwrap_or_default() {
        "integer" => {
            &["x", "1.5", "1e9", "+1", "0x10", "1152921504606846976", "-9223372036854775809", " 1", "١"]
        }
        "boolean" => &["1", "yes", "TRUE", "null", "truefalse"],
        "string" if schema.get("format").is_some() => &[NO_FORMAT, "\0", "a b", "://"],
        _ => &[],
    };
    let mut texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    texts.extend(schema["maximum"].as_i64().map(|most| (most + 1).to_string()));
    texts.extend(schema["minimum"].as_i64().map(|least| (least - 1).to_string()));
    let most = schema["maxLength"].as_u64().map(|most| usize::try_from(most).unwrap());
    texts.extend(most.filter(|most| *most < 4000).map(|most| "a".repeat(most + 1)));
    texts
}

fn deep(depth: usize) -> Value {
    (0..depth).fold(json!({}), |value, _| json!({ "a": value }))
}

/// Text that is of no format.
const NO_FORMAT: &str = "no such thing!";
/// The CID of a blob that nobody has.
const BLOB: &str = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy";
