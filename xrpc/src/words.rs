//! Words that this host wants in no handle and in no record key that a client chooses.
//!
//! A word counts only whole, however it is dressed up: in capitals, in the plural, with digits for letters, with letters
//! drawn out, with numbers around it, with dots, dashes or underscores between its letters. Inside a longer word it does
//! not count, because honest names have such syllables. The list that comes along is short, of insults that have no
//! other meaning; what a community wants to keep out besides, its operator adds (`REFUSED_WORDS`).

use crate::XrpcError;

/// The list that comes along, one word a line, each letter moved by 13, so that nobody need read it.
const DEFAULT: &str = include_str!("refused.rot13");
/// The operator's word for doing without the default list.
const NO_DEFAULT: &str = "none";

/// The words that are refused.
#[derive(Clone, Debug)]
pub struct RefusedWords(Vec<String>);

impl RefusedWords {
    /// The default list and the operator's own words; without the default where `none` is among them.
    #[must_use]
    pub fn new(own: &[String]) -> Self {
        let default = match own.iter().any(|word| word == NO_DEFAULT) {
            true => "",
            false => DEFAULT,
        };
        let own = own.iter().filter(|word| *word != NO_DEFAULT);
        let own = own.map(|word| word.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect());
        Self(default.lines().map(rot13).chain(own).filter(|word: &String| !word.is_empty()).collect())
    }

    /// Refuses a handle with such a word in it.
    ///
    /// # Errors
    /// `InvalidHandle`.
    pub fn check_handle(&self, handle: &str) -> Result<(), XrpcError> {
        match self.are_in(handle) {
            true => Err(XrpcError::named("InvalidHandle", "The handle has a word that this host refuses")),
            false => Ok(()),
        }
    }

    /// Refuses a record key with such a word in it.
    ///
    /// # Errors
    /// `InvalidRequest`.
    pub fn check_key(&self, rkey: &str) -> Result<(), XrpcError> {
        match self.are_in(rkey) {
            true => Err(XrpcError::invalid("The record key has a word that this host refuses")),
            false => Ok(()),
        }
    }

    fn are_in(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        text.split('.').any(|label| {
            let parts = label.split(|c: char| !c.is_alphanumeric());
            parts.clone().any(|part| self.has(part)) || self.has(&parts.collect::<String>())
        })
    }

    fn has(&self, part: &str) -> bool {
        let bare = part.trim_start_matches(|c: char| c.is_ascii_digit());
        self.0.iter().any(|word| is_it(word, part) || (bare.len() < part.len() && is_it(word, bare)))
    }
}

/// Whether `seen`, in lower case, is the word: perhaps drawn out, in the plural, or with a number behind it.
fn is_it(word: &str, seen: &str) -> bool {
    let mut rest = seen.chars().peekable();
    let mut last = None;
    for letter in word.chars() {
        // Letters that are drawn out beyond what the word has of them.
        while rest.peek().is_some_and(|c| last == Some(*c) && !stands_for(*c, letter)) {
            rest.next();
        }
        match rest.next() {
            Some(c) if stands_for(c, letter) => last = Some(c),
            _ => return false,
        }
    }
    while rest.next_if(|c| last == Some(*c)).is_some() {}
    rest.next_if(|c| matches!(c, 's' | 'z'));
    rest.all(|c| c.is_ascii_digit())
}

/// Whether a character is a letter, or a digit that is written for it.
const fn stands_for(character: char, letter: char) -> bool {
    character == letter
        || matches!(
            (character, letter),
            ('0', 'o')
                | ('1', 'i' | 'l')
                | ('3', 'e')
                | ('4', 'a')
                | ('5', 's')
                | ('6' | '9', 'g')
                | ('7', 't')
        )
}

/// The word with each of its letters, `a` to `z`, moved by 13.
fn rot13(word: &str) -> String {
    let moved = |byte: u8| if byte < b'n' { byte + 13 } else { byte - 13 };
    word.bytes().map(|byte| char::from(moved(byte))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refuses(own: &[&str], text: &str) -> bool {
        let own: Vec<String> = own.iter().map(|word| (*word).to_owned()).collect();
        RefusedWords::new(&own).are_in(text)
    }

    #[test]
    fn a_word_counts_however_it_is_dressed_up() {
        for dressed in [
            "weasel",
            "Weasel",
            "weasels",
            "w3asel",
            "wea5el",
            "weaseeel",
            "weasel99",
            "99weasel",
            "w-e-a-s-e-l",
            "we_asel",
            "old-weasel",
            "weasel:1",
            "weasel.test",
            "weazel.weasel.test",
            "vveasel-weasel",
            "wease1",
        ] {
            assert!(refuses(&["Weasel"], dressed), "{dressed}");
        }
    }

    #[test]
    fn a_word_inside_another_does_not_count() {
        for honest in ["weaselton", "tweasel", "weasely", "wea.sel", "weas", "", "3kabcdefghi2b", "1337"] {
            assert!(!refuses(&["weasel"], honest), "{honest}");
        }
        // Letters that the word has twice must be there twice.
        assert!(refuses(&["boot"], "b00000t") && !refuses(&["boot"], "bot"));
    }

    #[test]
    fn every_default_word_counts_and_the_operator_may_do_without() {
        let words: Vec<&str> = DEFAULT.lines().collect();
        assert!(words.len() > 10 && words.is_sorted());
        for word in words.iter().map(|word| rot13(word)) {
            assert!(word.chars().all(|c| c.is_ascii_lowercase()));
            assert!(refuses(&[], &format!("{word}s.test")) && refuses(&["weasel"], &word));
            assert!(!refuses(&[NO_DEFAULT], &word));
        }
        assert!(refuses(&[NO_DEFAULT, "weasel"], "weasel"));
    }

    #[test]
    fn honest_names_and_keys_pass() {
        for honest in [
            "scunthorpe",
            "penistone.test",
            "snigger",
            "raccoon",
            "cocoon.test",
            "con",
            "montenegro",
            "niger",
            "nigeria",
            "kikelomo",
            "paragon",
            "self",
            "tid",
            "bottrand",
            "transit",
            "chinkapin",
            "3jzfcijpj2z2a",
        ] {
            assert!(!refuses(&[], honest), "{honest}");
        }
    }
}
