//! From a text to pieces of words: what BERT's uncased tokenizer does, for the model's own vocabulary.
//!
//! A text is cut at spaces and around punctuation, folded to lower case without accents, and each word is cut into the longest
//! pieces that the vocabulary has, from its front; pieces after the first begin with `##`. A word that cannot be cut is left
//! out whole, where BERT puts `[UNK]`: a row for everything unknown would make unknown things alike.

use crate::fold::{Kind, fold, kind};

/// The rows of a text's pieces, in the text's order. `find` gives the row of a piece.
pub(crate) fn pieces_of(text: &str, find: impl Fn(&[u8]) -> Option<usize>) -> Vec<usize> {
    let mut rows = Vec::new();
    let mut word = Word::default();
    for character in text.chars() {
        match kind(character) {
            Kind::Letter => {
                // The combining accents of text that was taken apart.
                if !('\u{300}'..='\u{36f}').contains(&character) {
                    word.push(fold(character));
                }
            }
            Kind::Space => word.cut(&find, &mut rows),
            Kind::Alone => {
                word.cut(&find, &mut rows);
                word.push(character);
                word.cut(&find, &mut rows);
            }
        }
    }
    word.cut(&find, &mut rows);
    rows
}

/// A word after `##`, which stands before its every rest.
struct Word(String);

impl Default for Word {
    fn default() -> Self {
        Self(INSIDE.to_owned())
    }
}

impl Word {
    fn push(&mut self, character: char) {
        self.0.push(character);
    }

    /// Adds the rows of the word's pieces, all or none, and begins the next word.
    fn cut(&mut self, find: impl Fn(&[u8]) -> Option<usize>, rows: &mut Vec<usize>) {
        let known = rows.len();
        let mut rest = self.0.split_off(INSIDE.len());
        let mut inside = false;
        if rest.len() > MAX_WORD_BYTES {
            return;
        }
        while !rest.is_empty() {
            let text = if inside { format!("{INSIDE}{rest}") } else { rest };
            let from = if inside { INSIDE.len() } else { 0 };
            let longest = (from + 1..=text.len())
                .rev()
                .filter(|end| text.is_char_boundary(*end))
                .find_map(|end| Some((end, find(text.as_bytes().get(..end)?)?)));
            let Some((end, row)) = longest else {
                rows.truncate(known);
                return;
            };
            rows.push(row);
            rest = text.get(end..).unwrap_or_default().to_owned();
            inside = true;
        }
    }
}

/// What stands before a piece inside a word.
const INSIDE: &str = "##";

/// Bytes of a word that is cut, at most: BERT leaves out words of more than 100 letters. The search is the square of it.
const MAX_WORD_BYTES: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: [&str; 9] = ["un", "##aff", "##able", "##a", "cafe", "-", "日", "hello", "x"];

    fn cut(text: &str) -> Vec<&'static str> {
        let rows = pieces_of(text, |piece| VOCABULARY.iter().position(|known| known.as_bytes() == piece));
        rows.into_iter().map(|row| VOCABULARY[row]).collect()
    }

    #[test]
    fn a_word_is_cut_into_the_longest_pieces_from_its_front() {
        assert_eq!(cut("unaffable"), ["un", "##aff", "##able"]);
        assert_eq!(cut("Hello  CAFÉ-x"), ["hello", "cafe", "-", "x"]);
        assert_eq!(cut("cafe\u{301}"), ["cafe"]);
        assert_eq!(cut("x日x"), ["x", "日", "x"]);
    }

    #[test]
    fn a_word_that_cannot_be_cut_is_left_out_whole() {
        assert_eq!(cut("x unaffq hello"), ["x", "hello"]);
        assert_eq!(cut(&format!("x {} hello", "x".repeat(101))), ["x", "hello"]);
        assert_eq!(cut(""), [""; 0]);
    }
}
