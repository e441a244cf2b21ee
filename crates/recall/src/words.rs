//! The words of a text, as keyword search counts them.

use murmuration_embedding::{Kind, fold, kind};

use crate::entry::{MAX_WORDS, Word};
use crate::stem::stem;

/// A text's words as tokens, each once with how often it occurs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Sorted by token; [`MAX_WORDS`] at the most.
    pub words: Vec<Word>,
    /// Words of the whole text, those beyond the limit and repeated ones too.
    pub length: u32,
}

/// The tokens of a text. `token` makes a number of a word: the same one for the same word, and with a key, so that nobody
/// without it can tell which word a token stands for.
#[must_use]
pub fn tokens(text: &str, mut token: impl FnMut(&str) -> u32) -> Tokens {
    let words = words(text);
    let length = u32::try_from(words.len()).unwrap_or(u32::MAX);
    let mut all: Vec<u32> = words.iter().map(|word| token(word)).collect();
    all.sort_unstable();
    let counted = all.chunk_by(|one, other| one == other).filter_map(|same| {
        Some(Word { token: *same.first()?, count: u8::try_from(same.len()).unwrap_or(u8::MAX) })
    });
    let mut words: Vec<Word> = counted.collect();
    // Which of too many are kept must not depend on what the words are: a token is as good as random.
    words.truncate(MAX_WORDS);
    Tokens { words, length }
}

/// The words of a text in order: without case and accents, brought to a common form by [`stem`], and without the words that
/// stand in every English text.
///
/// Everything between spaces and punctuation is a word; an ideograph is one of its own.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        match kind(character) {
            Kind::Letter if !('\u{300}'..='\u{36f}').contains(&character) => word.push(fold(character)),
            Kind::Letter => (),
            Kind::Space => finish(&mut word, &mut words),
            Kind::Alone => {
                finish(&mut word, &mut words);
                if ('\u{3040}'..'\u{ff00}').contains(&character) || character >= '\u{20000}' {
                    words.push(character.to_string());
                }
            }
        }
    }
    finish(&mut word, &mut words);
    words
}

fn finish(word: &mut String, words: &mut Vec<String>) {
    word.truncate(word.floor_char_boundary(MAX_WORD_BYTES));
    if !word.is_empty() && STOP_WORDS.binary_search(&word.as_str()).is_err() {
        words.push(stem(word));
    }
    word.clear();
}

/// Bytes of a word that count, at most: longer ones are data, and compared by their beginning.
pub const MAX_WORD_BYTES: usize = 64;

/// Words that say nothing of what a text is about, sorted. Few: a word that is rare in an agent's memories may matter.
const STOP_WORDS: [&str; 43] = [
    "a", "an", "and", "are", "as", "at", "be", "been", "but", "by", "can", "did", "do", "does", "for",
    "from", "had", "has", "have", "he", "i", "in", "is", "it", "its", "of", "on", "or", "she", "that", "the",
    "their", "they", "this", "to", "us", "was", "we", "were", "which", "with", "you", "your",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_folded_stemmed_and_without_those_in_every_text() {
        assert_eq!(words("The Deploys are on FRIDAY, at 17:00!"), ["deploy", "friday", "17", "00"]);
        assert_eq!(words("cafés in Zürich"), ["caf", "zurich"]);
        assert_eq!(words("日本 2026"), ["日", "本", "2026"]);
        assert_eq!(words(" ,.- "), [""; 0]);
    }

    #[test]
    fn a_word_that_is_data_counts_by_its_beginning() {
        assert_eq!(words(&"q".repeat(1_000)), ["q".repeat(MAX_WORD_BYTES)]);
        assert_eq!(words(&"λ".repeat(1_000))[0].chars().count(), MAX_WORD_BYTES / 2);
    }

    #[test]
    fn the_list_of_stop_words_is_sorted() {
        assert!(STOP_WORDS.is_sorted());
    }

    #[test]
    fn tokens_count_each_word_once() {
        let token = |word: &str| u32::try_from(word.len()).unwrap();
        let found = tokens("deploys deploying now, deployed", token);
        assert_eq!(found.words, [Word { token: 3, count: 1 }, Word { token: 6, count: 3 }]);
        assert_eq!(found.length, 4);
    }
}
