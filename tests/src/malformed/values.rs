//! Tokens, bodies, members and texts that somebody once sent.

use super::{Victim, pick};
use crate::Dice;

/// Makes a token; `None` where the victim has none of that kind.
type Token = fn(&Victim) -> Option<String>;

/// Credentials that no method takes, each with a name.
pub(super) const BAD_TOKENS: [(&str, Token); 12] = [
    ("an empty token", |_| Some("Bearer ".into())),
    ("half a token", |victim| Some(format!("Bearer {}", &victim.access[..victim.access.len() / 2]))),
    ("another signature", |victim| {
        let (signed, _) = victim.access.rsplit_once('.').unwrap();
        Some(format!("Bearer {signed}.{}", "A".repeat(43)))
    }),
    ("no signature", |victim| {
        let (signed, _) = victim.access.rsplit_once('.').unwrap();
        Some(format!("Bearer {signed}."))
    }),
    ("alg none", |victim| Some(format!("Bearer {}", unsigned(victim, r#"{"typ":"at+jwt","alg":"none"}"#)))),
    ("a typ of a service token", |victim| {
        Some(format!("Bearer {}", unsigned(victim, r#"{"typ":"JWT","alg":"ES256K"}"#)))
    }),
    ("a token of dots", |_| Some(format!("Bearer {}", ".".repeat(300)))),
    ("a token that is not base64", |_| Some("Bearer ***.***.***".into())),
    ("a huge token", |_| Some(format!("Bearer {}", "a".repeat(6000)))),
    ("a token of another scheme", |victim| Some(format!("DPoP {}", victim.access))),
    ("a wrong password", |_| Some(format!("Basic {}", base64(b"admin:wrong")))),
    ("a password that is not base64", |_| Some("Basic !!!".into())),
];

fn unsigned(victim: &Victim, header: &str) -> String {
    let claims = victim.access.split('.').nth(1).unwrap();
    let header = base64(header.as_bytes()).replace('=', "").replace('+', "-").replace('/', "_");
    format!("{header}.{claims}.")
}

/// Makes a body.
type Body = fn() -> Vec<u8>;

/// Bodies that no method takes as JSON, each with a name.
pub(super) const BAD_BODIES: [(&str, Body); 24] = [
    ("half an object", || b"{\"a\":".to_vec()),
    ("two objects", || b"{}{}".to_vec()),
    ("an array", || b"[]".to_vec()),
    ("null", || b"null".to_vec()),
    ("a string", || b"\"x\"".to_vec()),
    ("a number", || b"5".to_vec()),
    ("true", || b"true".to_vec()),
    ("white space", || b" \n ".to_vec()),
    ("a byte order mark", || b"\xef\xbb\xbf{}".to_vec()),
    ("bytes that are not UTF-8", || b"{\"a\":\"\xff\xfe\"}".to_vec()),
    ("UTF-16", || "{}".encode_utf16().flat_map(u16::to_le_bytes).collect()),
    ("a control character in a string", || b"{\"a\":\"\x01\"}".to_vec()),
    ("a comment", || b"{/* x */}".to_vec()),
    ("a comma too many", || b"{\"a\":1,}".to_vec()),
    ("single quotes", || b"{'a':1}".to_vec()),
    ("NaN", || b"{\"a\":NaN}".to_vec()),
    ("a leading zero", || b"{\"a\":01}".to_vec()),
    ("an object 33 deep", || nested("{\"a\":", "}", 33)),
    ("arrays 10,000 deep", || nested("[", "]", 10_000)),
    ("objects 10,000 deep", || nested("{\"a\":", "}", 10_000)),
    ("arrays 60,000 deep that never end", || b"[".repeat(60_000)),
    ("XML", || b"<?xml version=\"1.0\"?><a/>".to_vec()),
    ("a form", || b"repo=a&collection=b".to_vec()),
    ("2 MB of zeros", || vec![b'0'; 2_000_000]),
];

fn nested(open: &str, close: &str, depth: usize) -> Vec<u8> {
    format!("{}1{}", open.repeat(depth), close.repeat(depth)).into_bytes()
}

/// Makes a member.
type Member = fn() -> String;

/// A member that the data model refuses wherever it stands.
pub(super) fn hostile_member(dice: &mut Dice) -> (&'static str, String) {
    let members: [(&str, Member); 18] = [
        ("a float", || r#""extra":1.5"#.into()),
        ("a float that looks whole", || r#""extra":1e300"#.into()),
        ("an integer of 2^60", || r#""extra":1152921504606846976"#.into()),
        ("an integer of 2^53", || r#""extra":9007199254740992"#.into()),
        ("an integer of -2^53", || r#""extra":-9007199254740992"#.into()),
        ("an integer of 400 digits", || format!(r#""extra":{}"#, "9".repeat(400))),
        ("a lone surrogate", || r#""extra":"\ud800""#.into()),
        ("a lone surrogate in a name", || r#""\udc00":1"#.into()),
        ("a name twice", || r#""extra":1,"extra":2"#.into()),
        ("an array 40 deep", || format!(r#""extra":{}{}"#, "[".repeat(40), "]".repeat(40))),
        ("arrays 10,000 deep", || format!(r#""extra":{}{}"#, "[".repeat(10_000), "]".repeat(10_000))),
        ("131,073 elements", || format!(r#""extra":[{}0]"#, "0,".repeat(131_072))),
        ("a link that is none", || r#""extra":{"$link":"x"}"#.into()),
        ("a link with more", || r#""extra":{"$link":"x","a":1}"#.into()),
        ("bytes that are none", || r#""extra":{"$bytes":"!"}"#.into()),
        ("bytes of a number", || r#""extra":{"$bytes":5}"#.into()),
        ("an empty $type", || r#""extra":{"$type":""}"#.into()),
        ("a $type that is a number", || r#""extra":{"$type":5}"#.into()),
    ];
    let (name, member) = members[pick(dice, members.len())];
    (name, member())
}

/// Text that breaks what is careless. Nothing promises to refuse it.
pub(super) fn hostile_text(dice: &mut Dice) -> String {
    const TEXTS: [&str; 21] = [
        "\0",
        "a\0b",
        "../../../etc/passwd",
        "' OR 1=1 --",
        "\"; DROP TABLE account; --",
        "%",
        "%00",
        "_",
        "\u{202e}",
        "\u{fffd}",
        "𐀀",
        "e\u{301}",
        "-1",
        "0",
        "00000000000000000000001",
        "9223372036854775808",
        "did:plc:",
        "at://",
        "__proto__",
        "constructor",
        "${7*7}{{7*7}}",
    ];
    match pick(dice, TEXTS.len() + 2) {
        index if index < TEXTS.len() => TEXTS[index].to_owned(),
        index if index == TEXTS.len() => "a".repeat(5000),
        _ => "did:plc:".to_owned() + &"z".repeat(3000),
    }
}

/// RFC 4648, section 4.
pub(super) fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let number = chunk.iter().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let letter = char::from(LETTERS[number >> (18 - 6 * place) & 63]);
            text.push(if place <= chunk.len() { letter } else { '=' });
        }
    }
    text
}
