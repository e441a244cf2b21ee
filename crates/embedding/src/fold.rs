//! Letters without their case and accents, and what kind a character is: by a few ranges, not by the tables of Unicode.
//!
//! The tables would be a twentieth of the Wasm. The ranges cover what the model was trained on (Latin letters, the accents of
//! western and central Europe) and treat every other letter as itself, so that a text in Greek or Cyrillic still finds the
//! same text.

/// What a character does to the text around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ends a word and is nothing itself: space, control, and what cannot be seen.
    Space,
    /// A word of its own: punctuation, and the ideographs and syllables that are written without spaces.
    Alone,
    /// Part of a word.
    Letter,
}

/// The kind of a character.
#[must_use]
pub fn kind(character: char) -> Kind {
    match character {
        '\0'..=' ' | '\u{7f}'..='\u{a0}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}' => {
            Kind::Space
        }
        '\u{2000}'..='\u{200a}' | '\u{205f}'..='\u{206f}' | '\u{3000}' | '\u{feff}' | '\u{fffd}' => {
            Kind::Space
        }
        '0'..='9' | 'a'..='z' | 'A'..='Z' => Kind::Letter,
        '!'..='~' | '\u{a1}' | '\u{a7}' | '\u{ab}' | '\u{b6}' | '\u{b7}' | '\u{bb}' | '\u{bf}' => Kind::Alone,
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205e}' | '\u{3001}'..='\u{3020}' => Kind::Alone,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' => Kind::Alone,
        '\u{f900}'..='\u{faff}' | '\u{ff01}'..='\u{ff0f}' | '\u{20000}'..='\u{323af}' => Kind::Alone,
        _ => Kind::Letter,
    }
}

/// The letter in lower case, without its accent; itself where it has neither, or where the ranges do not know it.
#[must_use]
pub fn fold(character: char) -> char {
    match character {
        'A'..='Z' => character.to_ascii_lowercase(),
        '\0'..='\u{bf}' => character,
        'À'..='Å' | 'à'..='å' | 'Ā'..='ą' => 'a',
        'Æ' => 'æ',
        'Ç' | 'ç' | 'Ć'..='č' => 'c',
        'Ď'..='ď' => 'd',
        'Ð' => 'ð',
        'Đ' => 'đ',
        'È'..='Ë' | 'è'..='ë' | 'Ē'..='ě' => 'e',
        'Ĝ'..='ģ' => 'g',
        'Ĥ'..='ĥ' => 'h',
        'Ì'..='Ï' | 'ì'..='ï' | 'Ĩ'..='İ' => 'i',
        'Ĵ'..='ĵ' => 'j',
        'Ķ'..='ķ' => 'k',
        'Ĺ'..='ľ' => 'l',
        'Ł' => 'ł',
        'Ñ' | 'ñ' | 'Ń'..='ň' => 'n',
        'Ò'..='Ö' | 'ò'..='ö' | 'Ō'..='ő' => 'o',
        'Ø' => 'ø',
        'Œ' => 'œ',
        'Ŕ'..='ř' => 'r',
        'Ś'..='š' => 's',
        'Ţ'..='ť' => 't',
        'Ù'..='Ü' | 'ù'..='ü' | 'Ũ'..='ų' => 'u',
        'Ŵ'..='ŵ' => 'w',
        'Ý' | 'ý' | 'ÿ' | 'Ŷ'..='Ÿ' => 'y',
        'Ź'..='ž' => 'z',
        'Þ' => 'þ',
        'Α'..='Ρ' | 'Σ'..='Ω' | 'А'..='Я' => shifted(character, 32),
        'Ѐ'..='Џ' => shifted(character, 80),
        _ => character,
    }
}

/// The letter so many places further: where the small letters stand in one row with the capitals.
fn shifted(character: char, places: u32) -> char {
    char::from_u32(u32::from(character) + places).unwrap_or(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_lose_their_case_and_their_accents() {
        let folded: String = "Ærøskøbing, ŁÓDŹ, Straße, Ñandú, ΑΘΗΝΑ, МОСКВА, Ёж".chars().map(fold).collect();
        assert_eq!(folded, "ærøskøbing, łodz, straße, nandu, αθηνα, москва, ёж");
    }

    #[test]
    fn a_character_ends_a_word_or_stands_alone_or_belongs_to_one() {
        assert_eq!(kind('\t'), Kind::Space);
        assert_eq!(kind('\u{200b}'), Kind::Space);
        assert_eq!(kind('-'), Kind::Alone);
        assert_eq!(kind('“'), Kind::Alone);
        assert_eq!(kind('日'), Kind::Alone);
        assert_eq!(kind('é'), Kind::Letter);
        assert_eq!(kind('7'), Kind::Letter);
    }
}
