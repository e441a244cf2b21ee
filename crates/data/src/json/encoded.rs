//! Writing the JSON form of an encoding while it is read.

use std::fmt::Write as _;

use data_encoding::BASE64_NOPAD;

use crate::cbor::Reader;
use crate::limits::MAX_DEPTH;
use crate::{DataError, Kind, write_cid};

/// Appends the JSON form of a value in DAG-CBOR, with no [`Ipld`](crate::Ipld) in between: for what was checked when it was
/// stored, and is now shown. Fields come as they stand in the encoding, shorter names first.
///
/// # Errors
/// When it is not DAG-CBOR. What was appended until then is of no use.
pub fn write_encoded(json: &mut String, cbor: &[u8]) -> Result<(), DataError> {
    let mut reader = Reader::new(cbor);
    item(json, &mut reader, MAX_DEPTH)?;
    reader.end()
}

/// Appends a text in quotes.
pub fn write_text(json: &mut String, text: &str) {
    json.push('"');
    let mut rest = text;
    while let Some(at) = first_special(rest.as_bytes()) {
        let Some((plain, special)) = rest.split_at_checked(at) else { break };
        json.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            Some('"') => json.push_str("\\\""),
            Some('\\') => json.push_str("\\\\"),
            Some('\n') => json.push_str("\\n"),
            Some('\r') => json.push_str("\\r"),
            Some('\t') => json.push_str("\\t"),
            Some('\u{8}') => json.push_str("\\b"),
            Some('\u{c}') => json.push_str("\\f"),
            // A text takes what is written into it.
            Some(control) => drop(write!(json, "\\u{:04x}", u32::from(control))),
            None => {}
        }
        rest = chars.as_str();
    }
    json.push_str(rest);
    json.push('"');
}

/// Appends the item that the reader comes to next.
fn item(json: &mut String, reader: &mut Reader<'_>, depth: usize) -> Result<(), DataError> {
    match reader.peek()? {
        // A text takes what is written into it.
        Kind::Integer => drop(write!(json, "{}", reader.integer()?)),
        Kind::Text => write_text(json, reader.text()?),
        Kind::Bytes => {
            json.push_str("{\"$bytes\":\"");
            BASE64_NOPAD.encode_append(reader.bytes()?, json);
            json.push_str("\"}");
        }
        Kind::Link => {
            json.push_str("{\"$link\":\"");
            write_cid(json, &reader.link()?);
            json.push_str("\"}");
        }
        Kind::Bool => json.push_str(if reader.bool()? { "true" } else { "false" }),
        Kind::Null => {
            reader.null()?;
            json.push_str("null");
        }
        Kind::Array => {
            let depth = depth.checked_sub(1).ok_or(DataError::Depth)?;
            json.push('[');
            for index in 0..reader.array()? {
                if index > 0 {
                    json.push(',');
                }
                item(json, reader, depth)?;
            }
            json.push(']');
        }
        Kind::Map => {
            let depth = depth.checked_sub(1).ok_or(DataError::Depth)?;
            json.push('{');
            let mut last = "";
            for index in 0..reader.map()? {
                if index > 0 {
                    json.push(',');
                }
                last = reader.key(last)?;
                write_text(json, last);
                json.push(':');
                item(json, reader, depth)?;
            }
            json.push('}');
        }
    }
    Ok(())
}

/// Where the first byte stands that JSON has to escape: a quote, a backslash or a control character. Eight bytes at once, for
/// most texts have none.
fn first_special(bytes: &[u8]) -> Option<usize> {
    let is_special = |byte: &u8| matches!(byte, 0..=0x1f | b'"' | b'\\');
    let mut clean = 0;
    for word in bytes.chunks_exact(8) {
        // INVARIANT: `chunks_exact` gives eight bytes.
        let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
        // The top bit of a byte is set where the byte, without a top bit of its own, is below the bound. A borrow from below
        // may set one too many, behind one that is right.
        let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word & TOPS;
        let found = below(word, 0x20) | below(word ^ (ONES * 0x22), 1) | below(word ^ (ONES * 0x5c), 1);
        if found != 0 {
            break;
        }
        clean += 8;
    }
    bytes.get(clean..)?.iter().position(is_special).map(|at| clean + at)
}

/// One in each byte.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The top bit of each byte.
const TOPS: u64 = 0x8080_8080_8080_8080;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_written_as_the_library_writes_it() {
        let all: String = (0..0x300).filter_map(char::from_u32).collect();
        let mut texts = vec![all.clone(), String::new(), "plain".into(), "\u{7f}\u{80}é𐀀 ends\\".into()];
        // Each character at each place of a word, and beside each of the others that matter.
        for special in ['"', '\\', '\u{1f}', ' ', '\n', '!', '#', '[', ']', 'é'] {
            for before in 0..18 {
                texts.push(format!("{}{special}{special}tail of it", "x".repeat(before)));
            }
        }
        for text in texts {
            let mut json = String::new();
            write_text(&mut json, &text);
            assert_eq!(json, serde_json::to_string(&text).unwrap());
        }
    }
}
