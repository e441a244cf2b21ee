//! The documents that come with the crate.

use std::collections::BTreeMap;

use murmuration_data::{Ipld, json};
use murmuration_lexicons::{Catalog, LexiconError, MethodKind, Validation, input, params, validate_record};
use murmuration_syntax::{Nsid, RecordKey};
use serde_json::Value;

fn methods() -> impl Iterator<Item = &'static str> {
    let catalog = Catalog::builtin();
    catalog.ids().filter(move |id| catalog.method(id).is_ok())
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parameters(id: &str, given: &[(&str, &str)]) -> Result<String, String> {
    let read = params(Catalog::builtin(), id, &pairs(given));
    read.map(|value| json::to_string(&value)).map_err(|error| error.to_string())
}

fn body(id: &str, text: &str) -> Result<String, String> {
    let read = input(Catalog::builtin(), id, json::parse(text.as_bytes()).unwrap());
    read.map(|value| json::to_string(&value)).map_err(|error| error.to_string())
}

fn record(collection: &str, rkey: &str, text: &str) -> Result<Validation, String> {
    let (collection, rkey) = (Nsid::parse(collection).unwrap(), RecordKey::parse(rkey).unwrap());
    let record = json::parse(text.as_bytes()).unwrap();
    validate_record(Catalog::builtin(), &collection, &rkey, &record).map_err(|error| error.to_string())
}

#[test]
fn every_document_parses() {
    let catalog = Catalog::builtin();
    let mut by_kind = BTreeMap::new();
    for id in catalog.ids() {
        let document = catalog.document(id).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(document.id().as_str(), id);
        assert!(document.definitions().count() > 0, "{id}");
        if let Ok(method) = catalog.method(id) {
            *by_kind.entry(format!("{:?}", method.kind())).or_insert(0) += 1;
        }
    }
    println!("{by_kind:?}");
    assert!(catalog.ids().count() >= 253);
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk(value: &Value, id: &str) {
        match value {
            Value::Array(items) => items.iter().for_each(|item| walk(item, id)),
            Value::Object(members) => {
                let kind = members.get("type").and_then(Value::as_str);
                let targets: Vec<&str> = match (kind, members.get("ref"), members.get("refs")) {
                    (Some("ref"), Some(Value::String(target)), _) => vec![target],
                    (Some("union"), _, Some(Value::Array(targets))) => {
                        targets.iter().filter_map(Value::as_str).collect()
                    }
                    _ => Vec::new(),
                };
                for target in targets {
                    let (document, name) = target.split_once('#').unwrap_or((target, "main"));
                    let document =
                        Catalog::builtin().document(if document.is_empty() { id } else { document });
                    assert!(document.unwrap().definitions().any(|other| other == name), "{id}: {target}");
                }
                members.values().for_each(|member| walk(member, id));
            }
            _ => {}
        }
    }

    let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("generated")];
    folders.push(folders[0].with_file_name("agent"));
    let mut documents = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                let json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
                walk(&json, json.get("id").and_then(Value::as_str).unwrap());
                documents += 1;
            }
        }
    }
    assert_eq!(documents, Catalog::builtin().ids().count());
}

#[test]
fn every_method_takes_its_parameters_or_says_which_is_missing() {
    for id in methods() {
        let mut given = Vec::new();
        // One name at a time, as the errors ask for them.
        let read = loop {
            match params(Catalog::builtin(), id, &given) {
                Ok(read) => break read,
                Err(LexiconError::Data { path, wanted }) if path == "Params" => {
                    let name = wanted.split('"').nth(1).unwrap().to_owned();
                    assert!(given.iter().all(|(other, _)| *other != name), "{id}: {name}");
                    given.push((name, "1".to_owned()));
                }
                Err(LexiconError::Data { path, wanted }) => {
                    let name = path.split('/').next().unwrap();
                    let (_, value) = given.iter_mut().find(|(other, _)| other == name).unwrap();
                    *value = sample(&wanted).unwrap_or_else(|| panic!("{id}: {path} {wanted}")).to_owned();
                }
                Err(error) => panic!("{id}: {error}"),
            }
        };
        let Ipld::Map(read) = read else { panic!("{id}: no map") };
        assert!(given.iter().all(|(name, _)| read.contains_key(name)), "{id}");
    }
}

/// A value that is what an error asks for.
fn sample(wanted: &str) -> Option<&'static str> {
    Some(match wanted {
        "must be a boolean" => "true",
        "must be a cid string" => "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq",
        "must be a valid at-uri" => "at://did:plc:7iza6de2dwap2sbkpav7c6c6/app.bsky.feed.post/3jzfcijpj2z2a",
        "must be a valid did" | "must be a valid did or a handle" => "did:plc:7iza6de2dwap2sbkpav7c6c6",
        "must be a valid handle" => "alice.test",
        "must be a valid nsid" => "app.bsky.feed.post",
        "must be a uri" => "https://example.com/",
        "must be a well-formed BCP 47 language tag" => "en",
        "must be a valid TID" => "3jzfcijpj2z2a",
        _ => return None,
    })
}

#[test]
fn the_defaults_of_parameters_are_those_of_the_documents() {
    let mut defaults = 0;
    for id in methods() {
        // Required parameters have no defaults, so what is left is complete.
        let required: Vec<(String, String)> = Vec::new();
        if let Ok(Ipld::Map(read)) = params(Catalog::builtin(), id, &required) {
            defaults += read.len();
        }
    }
    assert!(defaults > 40, "{defaults}");
    assert_eq!(parameters("com.atproto.sync.listRepos", &[]).unwrap(), r#"{"limit":500}"#);
    assert_eq!(parameters("com.atproto.server.describeServer", &[("unknown", "1")]).unwrap(), "{}");
}

#[test]
fn parameters_are_read_as_they_are_declared() {
    let id = "com.atproto.repo.listRecords";
    let given =
        [("repo", "alice.test"), ("collection", "app.bsky.feed.post"), ("reverse", "true"), ("limit", "7")];
    let read = r#"{"collection":"app.bsky.feed.post","limit":7,"repo":"alice.test","reverse":true}"#;
    assert_eq!(parameters(id, &given).unwrap(), read);

    let with = |name, value| {
        let mut given = given[..2].to_vec();
        given.push((name, value));
        parameters(id, &given)
    };
    assert_eq!(with("limit", "").unwrap(), with("unknown", "x").unwrap(), "no value is no parameter");
    assert_eq!(with("limit", "0").unwrap_err(), "limit can not be less than 1");
    assert_eq!(with("limit", "101").unwrap_err(), "limit can not be greater than 100");
    for number in ["x", "1.5", "1e3", "+1", " 1", "9007199254740993", "99999999999999999999"] {
        assert_eq!(with("limit", number).unwrap_err(), "limit must be an integer", "{number}");
    }
    assert_eq!(with("reverse", "1").unwrap_err(), "reverse must be a boolean");
    assert_eq!(with("repo", "bob.test").unwrap_err(), "repo must not be given more than once");
    assert_eq!(with("__proto__", "1").unwrap_err(), "Invalid query parameter: __proto__");
    assert_eq!(parameters(id, &given[1..]).unwrap_err(), "Params must have the property \"repo\"");
    let given = [("repo", "alice"), ("collection", "app.bsky.feed.post")];
    assert_eq!(parameters(id, &given).unwrap_err(), "repo must be a valid did or a handle");
}

#[test]
fn repeated_parameters_make_a_list() {
    let id = "app.bsky.feed.getPosts";
    let (a, b) = ("at://alice.test/app.bsky.feed.post/a", "at://alice.test/app.bsky.feed.post/b");
    assert_eq!(parameters(id, &[("uris", a)]).unwrap(), format!(r#"{{"uris":["{a}"]}}"#));
    assert_eq!(parameters(id, &[("uris", a), ("uris", b)]).unwrap(), format!(r#"{{"uris":["{a}","{b}"]}}"#));
    assert_eq!(parameters(id, &[("uris", a), ("uris", "x")]).unwrap_err(), "uris/1 must be a valid at-uri");
    assert_eq!(parameters(id, &[("uris", a); 26]).unwrap_err(), "uris must not have more than 25 elements");
    assert_eq!(parameters(id, &[]).unwrap_err(), "Params must have the property \"uris\"");
}

#[test]
fn every_procedure_refuses_a_body_that_is_no_object() {
    let catalog = Catalog::builtin();
    for id in methods() {
        let method = catalog.method(id).unwrap();
        let json = method.input_encoding() == Some("application/json");
        if method.kind() == MethodKind::Procedure && json {
            let error = input(catalog, id, Ipld::Integer(1)).map_err(|error| error.to_string());
            assert_eq!(error, Err("Input must be an object".to_owned()), "{id}");
        }
    }
}

#[test]
fn bodies_are_validated_and_completed() {
    let id = "com.atproto.repo.createRecord";
    let text = r#"{"collection":"app.bsky.feed.post","record":{},"repo":"alice.test"}"#;
    assert_eq!(body(id, text).unwrap(), text);
    assert_eq!(
        body(id, r#"{"repo":"alice.test"}"#).unwrap_err(),
        "Input must have the property \"collection\""
    );
    let long = text.replace("{}", "[]");
    assert_eq!(body(id, &long).unwrap_err(), "Input/record must be an object");

    let id = "com.atproto.repo.applyWrites";
    let writes = r#"{"repo":"alice.test","writes":[{"$type":"com.atproto.repo.applyWrites#delete","collection":"a.b.c"}]}"#;
    assert_eq!(body(id, writes).unwrap_err(), "Input/writes/0 must have the property \"rkey\"");
    let writes = r#"{"repo":"alice.test","writes":[{"$type":"com.atproto.repo.applyWrites#destroy"}]}"#;
    assert_eq!(
        body(id, writes).unwrap_err(),
        "Input/writes/0 $type must be one of com.atproto.repo.applyWrites#create, \
         com.atproto.repo.applyWrites#update, com.atproto.repo.applyWrites#delete"
    );

    let id = "com.atproto.server.createInviteCodes";
    assert_eq!(body(id, r#"{"useCount":2}"#).unwrap(), r#"{"codeCount":1,"useCount":2}"#);
}

#[test]
fn records_of_known_collections_are_validated() {
    let post = |rest: &str| {
        let text = format!(r#"{{"$type":"app.bsky.feed.post","createdAt":"2026-11-23T04:00:00Z"{rest}}}"#);
        record("app.bsky.feed.post", "3jzfcijpj2z2a", &text)
    };
    assert_eq!(post(r#","text":"hello""#), Ok(Validation::Valid));
    assert_eq!(post("").unwrap_err(), "Record must have the property \"text\"");
    let long = format!(r#","text":"{}""#, "x".repeat(301));
    assert_eq!(post(&long).unwrap_err(), "Record/text must not be longer than 300 graphemes");
    let embed = |embed: &str| post(&format!(r#","text":"","embed":{embed}"#));
    assert_eq!(embed(r#"{"$type":"com.example.new","x":1}"#), Ok(Validation::Valid));
    assert_eq!(
        embed(r#"{"$type":"app.bsky.embed.images","images":[{"alt":""}]}"#).unwrap_err(),
        "Record/embed/images/0 must have the property \"image\""
    );
}

#[test]
fn records_of_unknown_collections_are_unknown() {
    assert_eq!(record("com.example.thing", "x", r#"{"$type":"com.example.thing"}"#), Ok(Validation::Unknown));
    let method = "com.atproto.repo.createRecord";
    assert_eq!(record(method, "x", r#"{"$type":"com.atproto.repo.createRecord"}"#), Ok(Validation::Unknown));
    assert_eq!(
        record("app.bsky.feed.defs", "x", r#"{"$type":"app.bsky.feed.defs"}"#),
        Ok(Validation::Unknown)
    );
}

#[test]
fn the_collections_that_the_reference_knows_are_known() {
    let names = [
        "app.bsky.actor.profile",
        "app.bsky.actor.status",
        "app.bsky.feed.generator",
        "app.bsky.feed.like",
        "app.bsky.feed.post",
        "app.bsky.feed.postgate",
        "app.bsky.feed.repost",
        "app.bsky.feed.threadgate",
        "app.bsky.graph.block",
        "app.bsky.graph.follow",
        "app.bsky.graph.list",
        "app.bsky.graph.listblock",
        "app.bsky.graph.listitem",
        "app.bsky.graph.starterpack",
        "app.bsky.graph.verification",
        "app.bsky.labeler.service",
        "app.bsky.notification.declaration",
        "chat.bsky.actor.declaration",
        "com.atproto.lexicon.schema",
        "com.germnetwork.declaration",
    ];
    for name in names {
        // An empty record is refused for what it lacks, or valid; never unknown.
        let verdict = record(name, "self", &format!(r#"{{"$type":"{name}"}}"#));
        assert_ne!(verdict, Ok(Validation::Unknown), "{name}");
    }
}

#[test]
fn a_records_key_is_of_the_kind_that_its_collection_wants() {
    let profile = r#"{"$type":"app.bsky.actor.profile"}"#;
    assert_eq!(record("app.bsky.actor.profile", "self", profile), Ok(Validation::Valid));
    assert_eq!(
        record("app.bsky.actor.profile", "me", profile).unwrap_err(),
        "Invalid record key for app.bsky.actor.profile: must be \"self\""
    );
    assert_eq!(
        record("app.bsky.feed.post", "self", "{}").unwrap_err(),
        "Invalid record key for app.bsky.feed.post: must be a valid TID"
    );
    let schema = r#"{"$type":"com.atproto.lexicon.schema","lexicon":1}"#;
    assert_eq!(record("com.atproto.lexicon.schema", "com.example.thing", schema), Ok(Validation::Valid));
    assert_eq!(
        record("com.atproto.lexicon.schema", "x", schema).unwrap_err(),
        "Invalid record key for com.atproto.lexicon.schema: must be a valid nsid"
    );
}

#[test]
fn a_records_type_is_its_collection() {
    let of = |text: &str| record("app.bsky.actor.profile", "self", text).unwrap_err();
    assert_eq!(of("{}"), "Record/$type must be a string");
    assert_eq!(of(r#"{"$type":"app.bsky.feed.post"}"#), "Record/$type must be app.bsky.actor.profile");
    assert_eq!(of("[]"), "Record must be an object");
}

#[test]
fn a_method_tells_how_it_is_called() {
    let method = |id| Catalog::builtin().method(id).unwrap();
    let upload = method("com.atproto.repo.uploadBlob");
    assert_eq!((upload.kind(), upload.input_encoding()), (MethodKind::Procedure, Some("*/*")));
    let car = method("com.atproto.sync.getRepo");
    assert_eq!((car.kind(), car.output_encoding()), (MethodKind::Query, Some("application/vnd.ipld.car")));
    assert!(car.errors().any(|name| name == "RepoTakendown"));
    assert_eq!(method("com.atproto.sync.subscribeRepos").kind(), MethodKind::Subscription);
    assert!(matches!(Catalog::builtin().method("app.bsky.feed.post"), Err(LexiconError::Kind { .. })));
    assert!(matches!(Catalog::builtin().method("com.example.none"), Err(LexiconError::NotFound { .. })));
}
