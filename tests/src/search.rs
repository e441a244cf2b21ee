//! A search for what must not be there: words and bytes, in whatever form something may have written them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use aho_corasick::AhoCorasick;
use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, BASE64URL_NOPAD, Encoding, HEXLOWER, HEXUPPER};

/// What is searched for, all of it in one pass.
#[derive(Debug, Default)]
pub struct Search {
    forms: Vec<Form>,
    /// What finds them; made for the first search.
    automaton: OnceLock<AhoCorasick>,
}

#[derive(Debug)]
struct Form {
    /// What it is a form of, and which.
    name: String,
    bytes: Vec<u8>,
}

impl Search {
    /// For nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Also for a word: as it is, in UTF-16, escaped as in JSON and in URLs, and as its bytes may be written.
    #[must_use]
    pub fn word(self, name: &str, word: &str) -> Self {
        let units = |to: fn(u16) -> [u8; 2]| word.encode_utf16().flat_map(to).collect::<Vec<_>>();
        let escaped =
            |form: fn(u16) -> String| word.encode_utf16().map(form).collect::<String>().into_bytes();
        self.form(name, "UTF-16, little end first", units(u16::to_le_bytes))
            .form(name, "UTF-16, big end first", units(u16::to_be_bytes))
            .form(name, "escapes of JSON", escaped(|unit| format!("\\u{unit:04x}")))
            .form(name, "escapes of JSON in capitals", escaped(|unit| format!("\\u{unit:04X}")))
            .form(name, "escapes of URLs", escaped(|unit| format!("%{unit:02X}")))
            .bytes(name, word.as_bytes())
    }

    /// Also for bytes: as they are, and in base 16, 32 and 64, wherever a text of more bytes has them.
    #[must_use]
    pub fn bytes(mut self, name: &str, bytes: &[u8]) -> Self {
        for (form, encoding) in [
            ("base 16", &HEXLOWER),
            ("base 16 in capitals", &HEXUPPER),
            ("base 32", &BASE32_NOPAD),
            ("base 64", &BASE64_NOPAD),
            ("base 64 of URLs", &BASE64URL_NOPAD),
        ] {
            for before in 0..encoding_step(encoding) {
                let text = within(encoding, before, bytes);
                if form == "base 32" {
                    self =
                        self.form(name, "base 32 in small letters", text.to_ascii_lowercase().into_bytes());
                }
                self = self.form(name, form, text.into_bytes());
            }
        }
        self.form(name, "plain", bytes.to_vec())
    }

    /// What is in `bytes`: the name of each thing, and its form.
    #[must_use]
    pub fn found_in(&self, bytes: &[u8]) -> BTreeSet<String> {
        let forms = || AhoCorasick::new(self.forms.iter().map(|form| &form.bytes)).unwrap();
        let all = self.automaton.get_or_init(forms).find_overlapping_iter(bytes);
        all.map(|at| self.forms[at.pattern()].name.clone()).collect()
    }

    /// What is in the files of a folder, and of those in it, by their paths.
    ///
    /// # Panics
    /// When one cannot be read.
    #[must_use]
    pub fn found_below(&self, folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
        let mut all = BTreeMap::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                let below = self.found_below(&path).into_iter();
                all.extend(below.map(|(file, found)| (format!("{name}/{file}"), found)));
                continue;
            }
            // SQLite removes its logs when it likes.
            let Ok(bytes) = std::fs::read(&path) else { continue };
            let found = self.found_in(&bytes);
            if !found.is_empty() {
                all.insert(name, found);
            }
        }
        all
    }

    fn form(mut self, name: &str, form: &str, bytes: Vec<u8>) -> Self {
        assert!(bytes.len() >= SHORTEST, "{name} is found by chance");
        self.automaton = OnceLock::new();
        self.forms.push(Form { name: format!("{name}: {form}"), bytes });
        self
    }
}

/// The digits of `bytes` that do not depend on what stands around them, with `before` bytes before.
fn within(encoding: &Encoding, before: usize, bytes: &[u8]) -> String {
    let bits = encoding.bit_width();
    let text = encoding.encode(&[&vec![0; before], bytes].concat());
    let (first, last) = ((before * 8).div_ceil(bits), (before + bytes.len()) * 8 / bits);
    text[first..last].to_owned()
}

/// Bytes after which the digits repeat their place.
fn encoding_step(encoding: &Encoding) -> usize {
    match encoding.bit_width() {
        4 => 1,
        6 => 3,
        _ => 5,
    }
}

/// Bytes of a form, at least: shorter ones are somewhere in every megabyte.
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use data_encoding::{BASE32, BASE64, BASE64URL};

    use super::*;

    const WORD: &str = "meetmeatthemast";

    fn forms(bytes: &[u8]) -> Vec<String> {
        Search::new().word("it", WORD).found_in(bytes).into_iter().collect()
    }

    #[test]
    fn finds_a_word_in_every_form_and_at_every_place() {
        for before in 0..9 {
            let text = format!("{}{WORD} and more", "é?>".repeat(3).get(..).unwrap_or_default());
            let text = [&"<".repeat(before), text.as_str()].concat();
            let bytes = text.as_bytes();
            assert_eq!(forms(bytes), ["it: plain"]);
            assert_eq!(forms(BASE64.encode(bytes).as_bytes()), ["it: base 64", "it: base 64 of URLs"]);
            assert!(forms(BASE64URL.encode(bytes).as_bytes()).contains(&"it: base 64 of URLs".into()));
            assert_eq!(
                forms(BASE32.encode(bytes).to_lowercase().as_bytes()),
                ["it: base 32 in small letters"]
            );
            assert_eq!(forms(HEXLOWER.encode(bytes).as_bytes()), ["it: base 16"]);
            let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert!(forms(&wide).contains(&"it: UTF-16, little end first".into()));
        }
        let escaped: String = WORD.chars().map(|char| format!("\\u{:04x}", u32::from(char))).collect();
        assert_eq!(forms(escaped.as_bytes()), ["it: escapes of JSON"]);
        assert_eq!(forms(b"meetmeatthemost"), [""; 0]);
        assert_eq!(forms(b""), [""; 0]);
    }

    #[test]
    fn finds_it_in_the_files_of_folders_in_folders() {
        let folder = std::env::temp_dir().join(format!("murmuration-search-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("a/b")).unwrap();
        std::fs::write(folder.join("a/b/file"), format!("x{WORD}")).unwrap();
        std::fs::write(folder.join("other"), "x").unwrap();
        let found = Search::new().word("it", WORD).found_below(&folder);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), ["a/b/file"]);
    }
}
