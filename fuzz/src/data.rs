//! The data model: DAG-CBOR, JSON, CIDs.

use murmuration_data::{
    Ipld, blob, cbor, cid_from_bytes, cid_of_cbor, cid_of_raw, cid_to_bytes, json, parse_cid, record,
};

/// What decodes is what encoding gives; another implementation reads it alike; a record is the same in JSON.
pub fn cbor_decode(data: &[u8]) {
    let prefix = cbor::decode_prefix(data);
    let Ok(value) = cbor::decode(data) else { return };
    assert_eq!(cbor::encode(&value).expect("what decodes can be encoded"), data);
    assert_eq!(prefix.expect("the whole is a prefix").1, data.len());
    let foreign: Ipld = serde_ipld_dagcbor::from_slice(data).expect("another implementation is no stricter");
    assert_eq!(foreign, value);
    let _ = blob::legacy_refs(&value);
    let text = json::to_string(&value);
    let parsed = json::parse(text.as_bytes());
    if record::check(&value).is_ok() {
        assert_eq!(parsed.expect("a record has a JSON form"), value);
        assert!(blob::refs(&value).iter().all(|blob| blob::BlobRef::from_ipld(&blob.to_ipld()).is_some()));
    }
}

/// What JSON gives can be encoded, comes back from both forms, and is the same when it was parsed before.
pub fn json_parse(data: &[u8]) {
    let Ok(value) = json::parse(data) else { return };
    let block = cbor::encode(&value).expect("what JSON gives can be encoded");
    assert_eq!(cbor::decode(&block).as_ref(), Ok(&value));
    assert_eq!(json::parse(json::to_string(&value).as_bytes()).as_ref(), Ok(&value));
    let already: serde_json::Value = serde_json::from_slice(data).expect("it is JSON");
    assert_eq!(json::from_value(&already).as_ref(), Ok(&value));
    assert_eq!(json::from_value(&json::to_value(&value)).as_ref(), Ok(&value));
    let _ = record::from_json(data);
}

/// What is read as a CID is written as it was.
pub fn cid(data: &[u8]) {
    if let Ok(cid) = cid_from_bytes(data) {
        assert_eq!(cid_to_bytes(&cid).expect("a CID that was read").as_slice(), data);
        assert_eq!(cid.to_bytes(), data);
        assert_eq!(parse_cid(&cid.to_string()), Ok(cid));
    }
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(cid) = parse_cid(text)
    {
        assert_eq!(cid.to_string(), text);
        assert_eq!(cid_from_bytes(&cid.to_bytes()), Ok(cid));
    }
}

/// Good JSON.
pub fn json_seeds() -> Vec<Vec<u8>> {
    let link = cid_of_cbor(b"seed");
    let blob = blob::BlobRef { cid: cid_of_raw(b"seed"), mime_type: "image/png".into(), size: 5 };
    vec![
        br#"{"$type":"app.bsky.feed.post","text":"a~\u00f6\ud83d\ude00","createdAt":"2024-01-01T00:00:00.000Z"}"#.to_vec(),
        format!(r#"{{"a":{{"$link":"{link}"}},"b":{{"$bytes":"nFERjvLLiw"}},"c":[1,-2,123.0,1e3,null,true]}}"#).into_bytes(),
        json::to_string(&blob.to_ipld()).into_bytes(),
        format!("{}{}", "[".repeat(33), "]".repeat(33)).into_bytes(),
        br#"[9007199254740991,-9007199254740991,9007199254740992,0.5,-0]"#.to_vec(),
        br#"{"a":1,"a":2,"__proto__":{},"":0}"#.to_vec(),
    ]
}

/// Good blocks.
pub fn cbor_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> =
        json_seeds().iter().filter_map(|text| cbor::encode(&json::parse(text).ok()?).ok()).collect();
    seeds.push([vec![0x81; 32], vec![0xf6]].concat());
    let mut writer = cbor::Writer::new();
    writer.map(2).text("e").array(1).map(4).text("k").bytes(b"app.bsky.feed.post/self").text("p").uint(0);
    writer.text("t").null().text("v").link(&cid_of_cbor(b"seed")).text("l").null();
    seeds.push(writer.into_bytes());
    seeds
}

/// Good CIDs, in both forms.
pub fn cid_seeds() -> Vec<Vec<u8>> {
    [cid_of_cbor(b"seed"), cid_of_raw(b"seed")]
        .iter()
        .flat_map(|cid| [cid.to_bytes(), cid.to_string().into_bytes()])
        .collect()
}
