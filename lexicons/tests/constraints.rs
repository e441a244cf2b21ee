//! Each constraint of the language, against values made for it.

use murmuration_data::{Ipld, cid_of_cbor, cid_of_raw, json, limits};
use murmuration_lexicons::{
    Catalog, Document, LexiconError, Validation, input, message, output, validate_record,
};
use murmuration_syntax::{Nsid, RecordKey};
use serde_json::{Value, json};

fn catalog(definitions: Value) -> Catalog {
    let mut catalog = Catalog::new();
    catalog.insert(
        Document::parse(&json!({"lexicon": 1, "id": "com.example.thing", "defs": definitions})).unwrap(),
    );
    catalog
}

fn refusal(definitions: Value) -> String {
    let error =
        Document::parse(&json!({"lexicon": 1, "id": "com.example.thing", "defs": definitions})).unwrap_err();
    assert!(!error.blames_data());
    error.to_string()
}

/// A kind of record with one member, `x`.
fn with(schema: Value) -> Catalog {
    catalog(json!({
        "main": {"type": "record", "key": "any", "record": {"type": "object", "properties": {"x": schema}}},
        "point": {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
        "name": {"type": "string", "maxLength": 3},
        "token": {"type": "token"},
    }))
}

/// The verdict on a record of the one kind.
fn verdict(catalog: &Catalog, x: Ipld) -> Result<(), String> {
    let kind = Nsid::parse("com.example.thing").unwrap();
    let members = [("$type".to_owned(), Ipld::String(kind.to_string())), ("x".to_owned(), x)];
    let record = Ipld::Map(members.into());
    let validation = validate_record(catalog, &kind, &RecordKey::parse("key").unwrap(), &record);
    let validation = validation.map_err(|error| error.to_string())?;
    assert_eq!(validation, Validation::Valid);
    Ok(())
}

/// Holds values against a schema for `x`: each with the rest of the sentence that refuses it, or nothing.
fn check(schema: Value, cases: &[(Value, &str)]) {
    let catalog = with(schema.clone());
    for (value, wanted) in cases {
        let found = verdict(&catalog, json::from_value(value).unwrap());
        let wanted = if wanted.is_empty() { Ok(()) } else { Err(format!("Record/x {wanted}")) };
        assert_eq!(found, wanted, "{value} against {schema}");
    }
}

#[test]
fn booleans() {
    let no = "must be a boolean";
    check(
        json!({"type": "boolean"}),
        &[(json!(true), ""), (json!(false), ""), (json!(0), no), (json!(null), no)],
    );
    check(json!({"type": "boolean", "const": true}), &[(json!(true), ""), (json!(false), "must be true")]);
}

#[test]
fn integers() {
    check(
        json!({"type": "integer", "minimum": -1, "maximum": 2}),
        &[
            (json!(-1), ""),
            (json!(2), ""),
            (json!(-2), "can not be less than -1"),
            (json!(3), "can not be greater than 2"),
            (json!("1"), "must be an integer"),
            (json!(true), "must be an integer"),
        ],
    );
    check(json!({"type": "integer", "const": 7}), &[(json!(7), ""), (json!(8), "must be 7")]);
    check(json!({"type": "integer", "enum": [1, 5]}), &[(json!(5), ""), (json!(2), "must be one of (1|5)")]);
    let beyond = verdict(&with(json!({"type": "integer"})), Ipld::Integer(i128::from(i64::MAX) + 1));
    assert_eq!(beyond, Err("Record/x must be an integer".to_owned()));
    let float = verdict(&with(json!({"type": "integer"})), Ipld::Float(1.0));
    assert_eq!(float, Err("Record/x must be an integer".to_owned()));
}

#[test]
fn lengths_of_strings_are_in_bytes_and_in_graphemes() {
    let family = "👩‍👩‍👦‍👦";
    assert_eq!(family.len(), 25);
    check(
        json!({"type": "string", "minLength": 2, "maxLength": 4}),
        &[
            (json!("äö"), ""),
            (json!("a"), "must not be shorter than 2 characters"),
            (json!("äöü"), "must not be longer than 4 characters"),
            (json!(1), "must be a string"),
        ],
    );
    check(
        json!({"type": "string", "minGraphemes": 2, "maxGraphemes": 3}),
        &[
            (json!(family.repeat(3)), ""),
            (json!(family), "must not be shorter than 2 graphemes"),
            (json!(family.repeat(4)), "must not be longer than 3 graphemes"),
            (json!(family.repeat(400)), "must not be longer than 3 graphemes"),
            (json!("\r\n"), "must not be shorter than 2 graphemes"),
            (json!(""), "must not be shorter than 2 graphemes"),
        ],
    );
    check(
        json!({"type": "string", "minLength": 100, "maxGraphemes": 2}),
        &[(json!("abc"), "must not be shorter than 100 characters")],
    );
}

#[test]
fn strings_from_a_list() {
    check(json!({"type": "string", "const": "a"}), &[(json!("a"), ""), (json!("b"), "must be a")]);
    check(
        json!({"type": "string", "enum": ["a", "b"]}),
        &[(json!("b"), ""), (json!("c"), "must be one of (a|b)")],
    );
    check(json!({"type": "string", "knownValues": ["a", "b"]}), &[(json!("c"), "")]);
}

#[test]
fn every_format_admits_its_own_and_refuses_others() {
    let formats = [
        ("at-identifier", "alice.test", "must be a valid did or a handle"),
        ("at-identifier", "did:web:alice.test", "must be a valid did or a handle"),
        ("at-uri", "at://alice.test/app.bsky.feed.post/self", "must be a valid at-uri"),
        ("cid", "bafyreiclp443lavogvhj3d2ob2cxbfuscni2k5jk7bebjzg7khl3esabwq", "must be a cid string"),
        (
            "datetime",
            "1985-04-12T23:20:50.123Z",
            "must be a valid atproto datetime (both RFC-3339 and ISO-8601)",
        ),
        ("did", "did:web:alice.test", "must be a valid did"),
        ("handle", "alice.test", "must be a valid handle"),
        ("language", "pt-BR", "must be a well-formed BCP 47 language tag"),
        ("nsid", "app.bsky.feed.post", "must be a valid nsid"),
        ("record-key", "self", "must be a valid Record Key"),
        ("tid", "3jzfcijpj2z2a", "must be a valid TID"),
        ("uri", "https://alice.test/", "must be a uri"),
    ];
    for (format, good, wanted) in formats {
        check(json!({"type": "string", "format": format}), &[(json!(good), ""), (json!("/?"), wanted)]);
    }
}

#[test]
fn bytes_and_links() {
    check(
        json!({"type": "bytes", "minLength": 2, "maxLength": 3}),
        &[
            (json!({"$bytes": "AAA"}), ""),
            (json!({"$bytes": "AA"}), "must not be smaller than 2 bytes"),
            (json!({"$bytes": "AAAAAA"}), "must not be larger than 3 bytes"),
            (json!("AAA"), "must be a byte array"),
        ],
    );
    let cid = cid_of_cbor(b"x").to_string();
    check(json!({"type": "cid-link"}), &[(json!({"$link": cid}), ""), (json!(cid), "must be a CID")]);
}

#[test]
fn blobs() {
    let blob = |mime: &str, size: u64| json!({"$type": "blob", "ref": {"$link": cid_of_raw(b"x").to_string()}, "mimeType": mime, "size": size});
    check(
        json!({"type": "blob", "accept": ["image/*", "text/plain"], "maxSize": 10}),
        &[
            (blob("image/png", 10), ""),
            (blob("text/plain", 0), ""),
            (blob("image/png", 11), "must not be larger than 10 bytes"),
            (blob("text/html", 1), "must be of type image/*, text/plain"),
            (blob("imagery/png", 1), "must be of type image/*, text/plain"),
            (json!({"cid": cid_of_raw(b"x").to_string(), "mimeType": "image/png"}), "should be a blob ref"),
            (json!("blob"), "should be a blob ref"),
        ],
    );
    check(json!({"type": "blob", "accept": ["*/*"]}), &[(blob("a/b", 1 << 40), "")]);
    check(json!({"type": "blob", "accept": []}), &[(blob("a/b", 1), "must be of type ")]);
    let Ipld::Map(mut negative) = json::from_value(&blob("a/b", 1)).unwrap() else { panic!("no map") };
    negative.insert("size".to_owned(), Ipld::Integer(-1));
    let verdict = verdict(&with(json!({"type": "blob"})), Ipld::Map(negative));
    assert_eq!(verdict, Err("Record/x should be a blob ref".to_owned()));
}

#[test]
fn arrays() {
    check(
        json!({"type": "array", "items": {"type": "integer"}, "minLength": 1, "maxLength": 2}),
        &[
            (json!([1]), ""),
            (json!([]), "must not have fewer than 1 elements"),
            (json!([1, 2, 3]), "must not have more than 2 elements"),
            (json!({}), "must be an array"),
        ],
    );
    let catalog = with(json!({"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}));
    let nested = json::from_value(&json!([[], [1, "x"]])).unwrap();
    assert_eq!(verdict(&catalog, nested), Err("Record/x/1/1 must be an integer".to_owned()));
}

#[test]
fn objects() {
    let catalog = with(json!({
        "type": "object",
        "required": ["a", "b"],
        "nullable": ["b", "c"],
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}, "c": {"type": "integer"}, "d": {"type": "integer"}},
    }));
    let of = |value: Value| verdict(&catalog, json::from_value(&value).unwrap()).err().unwrap_or_default();
    assert_eq!(of(json!({"a": 1, "b": 2})), "");
    assert_eq!(of(json!({"a": 1, "b": null, "c": null, "unexpected": []})), "");
    assert_eq!(of(json!({"b": 1})), "Record/x must have the property \"a\"");
    assert_eq!(of(json!({"a": null, "b": 1})), "Record/x/a must be an integer");
    assert_eq!(of(json!({"a": 1, "b": 1, "d": null})), "Record/x/d must be an integer");
    assert_eq!(of(json!([])), "Record/x must be an object");
}

#[test]
fn unknown_is_an_object_that_is_no_blob() {
    let blob = json!({"$type": "blob", "ref": {"$link": cid_of_raw(b"x").to_string()}, "mimeType": "a/b", "size": 1});
    let no = "must be an object";
    let cases = [
        (json!({}), ""),
        (json!({"$type": "com.example.other", "a": [1]}), ""),
        (json!({"inner": blob.clone()}), ""),
        (blob, no),
        (json!({"$link": cid_of_raw(b"x").to_string()}), no),
        (json!({"$bytes": "AAA"}), no),
        (json!("x"), no),
        (json!([]), no),
        (json!(null), no),
    ];
    check(json!({"type": "unknown"}), &cases);
}

#[test]
fn references_lead_to_definitions() {
    check(
        json!({"type": "ref", "ref": "#name"}),
        &[(json!("abc"), ""), (json!("abcd"), "must not be longer than 3 characters")],
    );
    let catalog = with(json!({"type": "ref", "ref": "com.example.thing#point"}));
    let of = |value: Value| verdict(&catalog, json::from_value(&value).unwrap()).err().unwrap_or_default();
    assert_eq!(of(json!({"a": 1})), "");
    assert_eq!(of(json!({"a": ""})), "Record/x/a must be an integer");

    // A record knows its own name, wherever it is.
    let catalog = with(json!({"type": "ref", "ref": "com.example.thing"}));
    let of = |value: Value| verdict(&catalog, json::from_value(&value).unwrap()).err().unwrap_or_default();
    assert_eq!(of(json!({"$type": "com.example.thing"})), "");
    assert_eq!(of(json!({})), "Record/x/$type must be a string");
    assert_eq!(of(json!({"$type": "com.example.other"})), "Record/x/$type must be com.example.thing");
}

#[test]
fn a_reference_that_leads_nowhere_is_not_blamed_on_the_data() {
    let kind = Nsid::parse("com.example.thing").unwrap();
    for target in ["com.example.none", "com.example.thing#none", "com.example.thing#token"] {
        let catalog = with(json!({"type": "ref", "ref": target}));
        let record = json::from_value(&json!({"$type": "com.example.thing", "x": {}})).unwrap();
        let error = validate_record(&catalog, &kind, &RecordKey::parse("key").unwrap(), &record).unwrap_err();
        assert!(!error.blames_data(), "{target}: {error}");
        assert!(error.to_string().ends_with(target), "{target}: {error}");
    }
}

#[test]
fn unions() {
    let typed = "must be an object which includes the \"$type\" property";
    let point = |a: Value| json!({"$type": "com.example.thing#point", "a": a});
    let refs = json!(["#point", "com.example.thing"]);
    check(
        json!({"type": "union", "refs": refs}),
        &[
            (point(json!(1)), ""),
            (json!({"$type": "com.example.thing"}), ""),
            (json!({"$type": "com.example.other", "a": "x"}), ""),
            (json!({"$type": "#point"}), ""),
            (json!({"a": 1}), typed),
            (json!("x"), typed),
            (json!([]), typed),
        ],
    );
    let one_of = "$type must be one of com.example.thing#point, com.example.thing";
    check(
        json!({"type": "union", "closed": true, "refs": refs}),
        &[
            (point(json!(1)), ""),
            (json!({"$type": "com.example.thing#main"}), ""),
            (json!({"$type": "com.example.other"}), one_of),
            (json!({}), typed),
        ],
    );
    check(json!({"type": "union", "refs": []}), &[(json!({"$type": "a.b.c"}), ""), (json!({}), typed)]);
    let catalog = with(json!({"type": "union", "refs": refs}));
    let inner = verdict(&catalog, json::from_value(&point(json!("x"))).unwrap());
    assert_eq!(inner, Err("Record/x/a must be an integer".to_owned()));
}

#[test]
fn values_that_are_too_deep_are_refused() {
    let catalog = catalog(json!({
        "main": {"type": "record", "key": "any", "record": {
            "type": "object", "properties": {"x": {"type": "ref", "ref": "#node"}}
        }},
        "node": {"type": "array", "items": {"type": "ref", "ref": "#node"}},
    }));
    let nested = |depth: usize| (0..depth).fold(Ipld::List(Vec::new()), |inner, _| Ipld::List(vec![inner]));
    assert_eq!(verdict(&catalog, nested(limits::MAX_DEPTH - 1)), Ok(()));
    let error = verdict(&catalog, nested(5_000)).unwrap_err();
    assert!(error.ends_with("must not be nested deeper than 32"), "{error}");
}

fn procedure() -> Catalog {
    catalog(json!({
        "main": {
            "type": "procedure",
            "input": {"encoding": "application/json", "schema": {
                "type": "object",
                "required": ["n"],
                "nullable": ["s"],
                "properties": {
                    "n": {"type": "integer", "default": 7},
                    "b": {"type": "boolean", "default": false},
                    "s": {"type": "string", "default": "x"},
                    "list": {"type": "array", "items": {"type": "ref", "ref": "#inner"}},
                    "any": {"type": "union", "refs": ["#inner"]},
                },
            }},
            "output": {"encoding": "application/json", "schema": {"type": "ref", "ref": "#inner"}},
        },
        "inner": {"type": "object", "required": ["m"], "properties": {"m": {"type": "integer", "default": 1}}},
    }))
}

#[test]
fn defaults_are_put_into_an_input_wherever_they_are_missing() {
    let of = |body: Value| {
        let read = input(&procedure(), "com.example.thing", json::from_value(&body).unwrap());
        read.map(|body| json::to_value(&body)).map_err(|error| error.to_string())
    };
    assert_eq!(of(json!({})), Ok(json!({"n": 7, "b": false, "s": "x"})));
    assert_eq!(
        of(json!({"n": 1, "b": true, "s": null, "y": 2})),
        Ok(json!({"n": 1, "b": true, "s": null, "y": 2}))
    );
    let nested = of(json!({"list": [{}, {"m": 2}], "any": {"$type": "com.example.thing#inner"}})).unwrap();
    assert_eq!(nested["list"], json!([{"m": 1}, {"m": 2}]));
    assert_eq!(nested["any"], json!({"$type": "com.example.thing#inner", "m": 1}));
    assert_eq!(of(json!({"n": null})), Err("Input/n must be an integer".to_owned()));
    assert_eq!(of(json!({"list": [{}, 3]})), Err("Input/list/1 must be an object".to_owned()));
    assert_eq!(of(json!([])), Err("Input must be an object".to_owned()));
}

#[test]
fn an_output_is_validated_as_it_is() {
    let of = |body: Value| output(&procedure(), "com.example.thing", &json::from_value(&body).unwrap());
    assert_eq!(of(json!({"m": 1, "more": 2})), Ok(()));
    assert_eq!(of(json!({})).unwrap_err().to_string(), "Output must have the property \"m\"");
}

#[test]
fn a_message_is_held_against_the_variant_that_its_frame_names() {
    let id = "com.atproto.sync.subscribeRepos";
    let of =
        |kind: &str, body: Value| message(Catalog::builtin(), id, kind, &json::from_value(&body).unwrap());
    let account =
        json!({"seq": 1, "did": "did:web:alice.test", "time": "2026-11-23T04:00:00Z", "active": true});
    assert_eq!(of("#account", account.clone()), Ok(()));
    assert_eq!(of("com.atproto.sync.subscribeRepos#account", account.clone()), Ok(()));
    assert_eq!(of("#commit", account).unwrap_err().to_string(), "Message must have the property \"blobs\"");
    let other = message(&procedure(), "com.example.thing", "#x", &Ipld::Null);
    assert!(matches!(other, Err(LexiconError::Kind { .. })));
}

#[test]
fn ill_formed_documents_are_refused_with_the_place_and_the_rule() {
    let field = |schema: Value| refusal(json!({"x": {"type": "object", "properties": {"y": schema}}}));
    let cases = [
        (json!({"type": "float"}), "/type must be a type that lexicons know and that can stand here"),
        (json!({"type": "token"}), "/type must be a type that lexicons know and that can stand here"),
        (json!({}), "/type is missing"),
        (json!("string"), " must be an object"),
        (json!({"type": "string", "format": "email"}), "/format must be a known format"),
        (json!({"type": "string", "maxLength": -1}), "/maxLength must not be negative"),
        (json!({"type": "string", "minLength": 2, "maxLength": 1}), "/minLength must not exceed the maximum"),
        (json!({"type": "string", "default": "a", "const": "a"}), "/default can not stand beside const"),
        (json!({"type": "string", "enum": [1]}), "/enum must be an array of strings"),
        (json!({"type": "integer", "enum": ["1"]}), "/enum must be an array of integers"),
        (json!({"type": "integer", "minimum": 2, "maximum": 1}), "/minimum must not exceed the maximum"),
        (json!({"type": "integer", "default": 1.5}), "/default must be an integer"),
        (json!({"type": "boolean", "default": 0}), "/default must be a boolean"),
        (json!({"type": "array"}), "/items is missing"),
        (json!({"type": "object"}), "/properties is missing"),
        (
            json!({"type": "object", "required": ["z"], "properties": {}}),
            "/required must name properties that are defined",
        ),
        (json!({"type": "union"}), "/refs is missing"),
        (
            json!({"type": "union", "refs": [], "closed": true}),
            "/refs must not be empty where the union is closed",
        ),
        (
            json!({"type": "ref", "ref": "a.b.c#d#e"}),
            "/ref must be an NSID, with # and a name where it is not of the main definition",
        ),
    ];
    for (schema, wanted) in cases {
        assert_eq!(field(schema.clone()), format!("Lexicon/defs/x/properties/y{wanted}"), "{schema}");
    }
}

#[test]
fn ill_formed_methods_and_records_are_refused() {
    let main = |definition: Value| refusal(json!({"main": definition}));
    let object = json!({"type": "object", "properties": {}});
    let params = |properties: Value| {
        main(json!({"type": "query", "parameters": {"type": "params", "properties": properties}}))
    };
    assert_eq!(refusal(json!({})), "Lexicon/defs must have at least one definition");
    assert_eq!(main(json!({"type": "record", "record": object})), "Lexicon/defs/main/key is missing");
    assert_eq!(
        main(json!({"type": "record", "key": "literal:", "record": object})),
        "Lexicon/defs/main/key must be any, nsid, tid or literal: and a record key"
    );
    assert_eq!(
        main(json!({"type": "record", "key": "any", "record": {"type": "string"}})),
        "Lexicon/defs/main/record must be of type object"
    );
    assert_eq!(
        params(json!({"x": object})),
        "Lexicon/defs/main/parameters/x must be a boolean, integer or string, or an array of one of these"
    );
    assert_eq!(
        main(
            json!({"type": "procedure", "input": {"encoding": "application/json", "schema": {"type": "string"}}})
        ),
        "Lexicon/defs/main/input/schema must be an object, a ref or a union"
    );
    assert_eq!(
        main(json!({"type": "procedure", "input": {}})),
        "Lexicon/defs/main/input/encoding is missing"
    );
    assert_eq!(main(json!({"type": "subscription"})), "Lexicon/defs/main/message is missing");
    assert_eq!(
        main(json!({"type": "query", "errors": [{"name": "Two Words"}]})),
        "Lexicon/defs/main/errors/0/name must be a name without whitespace"
    );
    assert_eq!(
        main(json!({"type": "permission-set", "permissions": [{"type": "permission", "resource": ""}]})),
        "Lexicon/defs/main/permissions/0/resource must not be empty"
    );
}

#[test]
fn a_document_that_is_too_deep_is_refused() {
    let deep = (0..100).fold(json!({"type": "integer"}), |inner, _| json!({"type": "array", "items": inner}));
    assert!(refusal(json!({"x": deep})).ends_with("/items/items is nested too deeply"));
}

#[test]
fn a_document_takes_the_place_of_another_of_its_name() {
    let mut catalog = with(json!({"type": "integer"}));
    assert_eq!(verdict(&catalog, Ipld::Integer(1)), Ok(()));
    let document = json!({"lexicon": 1, "id": "com.example.thing", "defs": {"main": {"type": "token"}}});
    catalog.insert(Document::parse(&document).unwrap());
    let kind = Nsid::parse("com.example.thing").unwrap();
    let record = Ipld::Map(Default::default());
    let verdict = validate_record(&catalog, &kind, &RecordKey::parse("key").unwrap(), &record);
    assert_eq!(verdict, Ok(Validation::Unknown));
    assert_eq!(catalog.ids().collect::<Vec<_>>(), ["com.example.thing"]);
}
