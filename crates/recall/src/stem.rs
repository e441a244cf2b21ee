//! A light stemmer for English: the endings that most often keep a word from finding itself.

/// A word without its endings -s, -es, -ies, -ing, -ed and -ly, and without a final -e: `uses`, `used` and `using` become one,
/// `policies` and `policy` too.
///
/// Light, because the word need not be a word of English: an identifier or a name must stay apart from every other. Words with
/// anything but the letters from a to z, and short ones, stay as they are. The word must be in lower case.
#[must_use]
pub fn stem(word: &str) -> String {
    if word.len() < SHORTEST || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return word.to_owned();
    }
    let word = singular(word);
    let base = without_ending(&word);
    let base = base.strip_suffix('e').filter(|rest| rest.len() >= 2).unwrap_or(base);
    match base.strip_suffix('i') {
        Some(rest) if rest.len() >= 2 => format!("{rest}y"),
        _ => base.to_owned(),
    }
}

/// The word without -ing, -ed or -ly, where something with a vowel is left.
fn without_ending(word: &str) -> &str {
    let base = |ending, least| {
        word.strip_suffix(ending).filter(|base: &&str| base.len() >= least && has_vowel(base))
    };
    if let Some(base) = base("ly", 3) {
        return base;
    }
    let Some(base) = base("ing", 2).or_else(|| base("ed", 2).filter(|base| !base.ends_with('e'))) else {
        return word;
    };
    // `running` and `stopped` double a letter that `run` and `stop` have once; `telling` and `missed` do not.
    match base.strip_suffix(|last| "bdgmnprt".contains(last)) {
        Some(single) if single.ends_with(last(base)) => single,
        _ => base,
    }
}

/// The word without the ending of the plural.
fn singular(word: &str) -> String {
    if let Some(rest) = word.strip_suffix("ies").filter(|rest| rest.len() >= 2) {
        return format!("{rest}y");
    }
    for ending in ["sses", "shes", "ches", "xes", "zes"] {
        if word.ends_with(ending) {
            return word.strip_suffix("es").unwrap_or(word).to_owned();
        }
    }
    let kept = ["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    word.strip_suffix('s').filter(|_| !kept).unwrap_or(word).to_owned()
}

fn has_vowel(word: &str) -> bool {
    word.contains(['a', 'e', 'i', 'o', 'u', 'y'])
}

fn last(word: &str) -> char {
    word.chars().next_back().unwrap_or_default()
}

/// Letters of a word that has an ending, at least.
const SHORTEST: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_become_one() {
        for forms in [
            &["use", "uses", "used", "using"][..],
            &["policy", "policies"],
            &["stop", "stops", "stopped", "stopping"],
            &["box", "boxes"],
            &["class", "classes"],
            &["note", "notes", "noted", "noting"],
            &["quick", "quickly"],
            &["carry", "carries", "carried", "carrying"],
            &["tell", "tells", "telling"],
            &["feed", "feeds", "feeding"],
        ] {
            let stems: Vec<String> = forms.iter().map(|word| stem(word)).collect();
            assert!(stems.iter().all(|stem| *stem == stems[0]), "{forms:?} {stems:?}");
        }
    }

    #[test]
    fn other_words_stay_apart() {
        for (one, other) in
            [("string", "str"), ("king", "k"), ("status", "statu"), ("bus", "bu"), ("news", "knew")]
        {
            assert_ne!(stem(one), stem(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_english_word_stays_as_it_is() {
        for word in ["k8s", "café", "naïves", "as", "x2ing", "übungen"] {
            assert_eq!(stem(word), word);
        }
    }
}
