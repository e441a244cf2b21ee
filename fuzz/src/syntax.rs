//! Identifiers.

use std::fmt::{Debug, Display};

use murmuration_syntax::{
    AtIdentifier, AtUri, Did, Handle, Nsid, RecordKey, RepoPath, SyntaxError, Tid, cid, datetime, language,
    uri,
};

/// What is read is written as it was, but for the case of handles, and is then read alike.
pub fn all(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    law(text, Did::parse, true);
    law(text, Handle::parse, false);
    law(text, AtIdentifier::parse, false);
    law(text, Nsid::parse, true);
    law(text, RecordKey::parse, true);
    law(text, RepoPath::parse, true);
    law(text, Tid::parse, true);
    law(text, AtUri::parse, false);
    let _ = (cid::check(text), uri::check(text), language::check(text));
    if let Ok(micros) = datetime::micros(text)
        && let Ok(micros) = u64::try_from(micros)
        && let Ok(shown) = datetime::from_micros(micros)
    {
        let again = datetime::micros(&shown).expect("our own text");
        assert_eq!(u64::try_from(again).expect("after 1970"), micros - micros % 1000);
    }
    if let (Ok(one), Ok(other)) = (RepoPath::parse(text), RepoPath::parse("com.example.a/b.c")) {
        assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
    }
}

fn law<T: PartialEq + Debug + Display>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, SyntaxError>,
    exact: bool,
) {
    let Ok(value) = parse(text) else { return };
    let shown = value.to_string();
    assert!(if exact { shown == text } else { shown.eq_ignore_ascii_case(text) });
    assert_eq!(parse(&shown).as_ref(), Ok(&value));
}

/// Good identifiers.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "did:plc:7iza6de2dwap2sbkpav7c6c6",
        "did:web:localhost%3A1234",
        "Alice.Example.COM",
        "app.bsky.feed.post",
        "self",
        "3jzfcijpj2z2a",
        "app.bsky.feed.post/3jzfcijpj2z2a",
        "com.example.a.b/c",
        "at://did:plc:abc/app.bsky.feed.post/3jzfcijpj2z2a",
        "at://alice.test",
        "1985-04-12T23:20:50.123456-07:00",
        "2000-02-29T00:00:00Z",
        "en-GB-boont-r-extended-sequence-x-private",
        "https://example.com/a?b#c",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}
