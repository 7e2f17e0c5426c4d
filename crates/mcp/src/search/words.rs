//! Words of names, descriptions and requests, in the form in which they are compared.

use std::sync::LazyLock;

use crate::search::thesaurus::{ALIKE, PHRASES, STOP, WEAK};

/// How much a word of [`WEAK`] counts.
const WEAK_WEIGHT: f32 = 0.4;
/// How much a word counts that stands for one of the request.
const ALIKE_WEIGHT: f32 = 0.4;

/// The words of a text: cut at everything that is no letter or digit and where a capital follows a small letter, in
/// lower case, without those that say nothing, without their endings.
pub(super) fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before = ' ';
    for c in text.chars().chain([' ']) {
        let cut = !c.is_alphanumeric() || (before.is_lowercase() && c.is_uppercase());
        if cut && !word.is_empty() {
            if !STOP.contains(&word.as_str()) {
                words.push(stem(&word));
            }
            word.clear();
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words
}

/// The words of a request: also those that two of it mean together, with at most three others between.
pub(super) fn asked(request: &str) -> Vec<String> {
    let mut asked = words(request);
    let lower = request.to_lowercase();
    let plain: Vec<_> = lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    for (phrase, meant) in PHRASES {
        let (first, second) = phrase.split_once(' ').unwrap_or_default();
        let follows = |at: usize| plain[at + 1..].iter().take(4).any(|word| *word == second);
        let stands = plain
            .iter()
            .enumerate()
            .any(|(at, word)| (*word == first || stem(word) == stem(first)) && follows(at));
        if stands {
            asked.extend(words(meant));
        }
    }
    asked.sort();
    asked.dedup();
    asked
}

/// The forms in which a word of a request may stand in a text, and how much each counts.
pub(super) fn forms(word: String) -> Vec<(String, f32)> {
    let whole = if weak().contains(&word) { WEAK_WEIGHT } else { 1.0 };
    let lines = alike().iter().filter(|line| line.contains(&word));
    let mut others: Vec<_> = lines.flatten().filter(|other| **other != word).cloned().collect();
    others.sort();
    others.dedup();
    let others: Vec<_> = others.into_iter().map(|other| (other, ALIKE_WEIGHT * whole)).collect();
    [vec![(word, whole)], others].concat()
}

/// The lines of [`ALIKE`], as [`words`] gives their words.
fn alike() -> &'static [Vec<String>] {
    static STEMMED: LazyLock<Vec<Vec<String>>> =
        LazyLock::new(|| ALIKE.iter().map(|line| line.split(' ').map(stem).collect()).collect());
    &STEMMED
}

fn weak() -> &'static [String] {
    static STEMMED: LazyLock<Vec<String>> = LazyLock::new(|| WEAK.iter().map(|word| stem(word)).collect());
    &STEMMED
}

/// A word without the endings of English that change no meaning here: `issues`, `deleting` and `deletion` become
/// `issu` and `delet`. Lighter than Porter's rules (Porter 1980), which also join words that differ.
fn stem(word: &str) -> String {
    let mut stem = word;
    let cut = |stem: &str, end: &str, keep: usize| {
        stem.strip_suffix(end).filter(|rest| rest.len() >= keep).map(str::len)
    };
    if let Some(at) = cut(stem, "ies", 2) {
        return format!("{}y", &stem[..at]);
    }
    for end in ["sses", "xes", "ches", "shes", "zes"] {
        if stem.ends_with(end) {
            stem = &stem[..stem.len() - 2];
        }
    }
    if !["ss", "us", "is"].iter().any(|end| stem.ends_with(end))
        && let Some(at) = cut(stem, "s", 3)
    {
        stem = &stem[..at];
    }
    for end in ["ing", "ed", "ion", "e"] {
        let vowels = |text: &str| text.contains(['a', 'e', 'i', 'o', 'u', 'y']);
        if let Some(at) = cut(stem, end, 3).filter(|at| vowels(&stem[..*at])) {
            stem = &stem[..at];
            let mut last = stem.bytes().rev();
            let doubled = end != "e" && last.next() == last.next() && !stem.ends_with(['l', 's', 'z']);
            stem = if doubled { &stem[..stem.len() - 1] } else { stem };
            break;
        }
    }
    stem.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_sentences_become_the_same_words() {
        assert_eq!(words("createPullRequest"), ["creat", "pull", "request"]);
        assert_eq!(words("The repositories' issues, please!"), ["repository", "issu"]);
        assert_eq!(words("deleting deleted deletes deletion delete"), ["delet"; 5]);
        assert_eq!(words("running runs run"), ["run"; 3]);
        assert_eq!(words("boxes classes status"), ["box", "class", "status"]);
    }

    #[test]
    fn a_word_stands_for_others_of_its_kind() {
        let stands_for = |word: &str, other: &str| forms(word.into()).iter().any(|(form, _)| form == other);
        assert!(stands_for("delet", "remov"));
        assert!(stands_for("issu", "bug"));
        assert_eq!(forms("zebra".into()), [("zebra".to_owned(), 1.0)]);
    }
}
