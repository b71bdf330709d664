//! Finding an event again by what one remembers of it: words of its title, short name or one of its questions, in any order and writing, or its
//! join code.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::text::{QUESTION_GRAPHEMES_MAX, bounded};
use crate::error::Error;

/// What somebody looks for, bounded as a question is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Search {
    /// Folded. Each is found somewhere.
    words: Vec<String>,
    /// A join code or a part of it, where nothing but digits and spaces was typed.
    digits: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FoundIn<'a> {
    /// What the event itself is called.
    Name,
    /// Its name and this question of it together.
    Question(&'a str),
}

/// Fewer stand in nearly every join code.
const DIGITS_MIN: usize = 3;

impl Search {
    /// `None` where nothing was typed that could be looked for.
    pub fn parse(raw: &str) -> Result<Option<Search>, Error> {
        let long = Error::invalid("search_long", "What you look for is longer than any question: at most 300 characters.");
        let text = match bounded(raw, QUESTION_GRAPHEMES_MAX, None, Some(long)) {
            Ok(text) => text,
            Err(None) => return Ok(None),
            Err(Some(long)) => return Err(long),
        };
        let words: Vec<String> = text.split(' ').map(folded).filter(|word| !word.is_empty()).collect();
        let digits: String = text.split(' ').collect();
        let digits = (digits.len() >= DIGITS_MIN && digits.bytes().all(|b| b.is_ascii_digit())).then_some(digits);
        Ok((!words.is_empty()).then_some(Search { words, digits }))
    }

    pub fn finds<'a>(&self, title: &str, slug: Option<&str>, code: &str, questions: impl IntoIterator<Item = &'a str>) -> Option<FoundIn<'a>> {
        if self.digits.as_ref().is_some_and(|digits| code.contains(digits)) {
            return Some(FoundIn::Name);
        }
        let (title, slug) = (folded(title), slug.unwrap_or_default());
        let missing: Vec<&String> = self.words.iter().filter(|word| !title.contains(*word) && !slug.contains(*word)).collect();
        if missing.is_empty() {
            return Some(FoundIn::Name);
        }
        let asks = |question: &&str| {
            let question = folded(question);
            missing.iter().all(|word| question.contains(*word))
        };
        questions.into_iter().find(asks).map(FoundIn::Question)
    }
}

/// As people compare: without case, accents and look-alike forms. "Résumé" is "RESUME", "ﬁnal" is "final", "Straße" is "STRASSE".
fn folded(text: &str) -> String {
    // What most titles are, for a tenth of the time.
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Up and then down: some letters have two small forms (σ, ς), and ß has only a large one of two.
    let folded = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    // A large letter may have brought an accent along (ŉ); and joiners are seen by nobody.
    folded.filter(|c| !is_combining_mark(*c) && !matches!(c, '\u{200c}'..='\u{200f}')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(search: &str, title: &str) -> bool {
        Search::parse(search).unwrap().expect("something to look for").finds(title, Some("grand-final"), "482913", []).is_some()
    }

    #[test]
    fn a_question_counts_with_the_name_of_its_event_and_is_told() {
        let questions = ["Which film tonight?", "Wie heißt die Straße?", "Which pizza, then?"];
        let found_in = |search: &str| Search::parse(search).unwrap().expect("something").finds("Friday night", Some("grand-final"), "482913", questions);
        assert_eq!(found_in("pizza"), Some(FoundIn::Question(questions[2])));
        assert_eq!(found_in("which"), Some(FoundIn::Question(questions[0])), "the first of two");
        assert_eq!(found_in("STRASSE heisst"), Some(FoundIn::Question(questions[1])));
        assert_eq!(found_in("friday pizza grand"), Some(FoundIn::Question(questions[2])), "the rest is in the name");
        assert_eq!(found_in("friday"), Some(FoundIn::Name));
        assert_eq!(found_in("night 482"), None, "a word with digits is no code");
        assert_eq!(found_in("pizza film"), None, "of two questions, none has both");
    }

    #[test]
    fn words_are_found_in_any_order_case_and_accent() {
        for (search, title) in [
            ("friday", "Friday all-hands"),
            ("HANDS fri", "Friday all-hands"),
            ("  all   hands ", "Friday all-hands"),
            ("resume", "Résumé"),
            ("RÉSUMÉ", "resume"),
            ("strasse", "Lange Straße"),
            ("STRASSE", "lange straße"),
            ("οδυσσευς", "Ὀδυσσεύς"),
            ("ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"),
            ("совет", "Учёный СОВЕТ"),
            ("ученыи", "Учёный совет"),
            ("istanbul", "İSTANBUL"),
            ("final", "The ﬁnal"),
            ("١٢", "الصف ١٢"),
            ("الفيلم", "أمسية الفِيلم"),
            ("投票", "今夜の投票"),
            ("ガ", "ｶﾞ"),
            ("🎬", "Film night 🎬"),
            ("grand", "Something else"),
            ("grand else", "Something else"),
        ] {
            assert!(found(search, title), "{search} in {title}");
        }
        for (search, title) in [("friday monday", "Friday all-hands"), ("fridays", "Friday"), ("é!", "e")] {
            assert!(!found(search, title), "{search} in {title}");
        }
    }

    #[test]
    fn a_code_is_found_with_spaces_and_in_part() {
        for search in ["482913", "482 913", " 4829 ", "913", "4 8 2"] {
            assert!(found(search, "Friday"), "{search}");
        }
        assert!(!found("482 914", "Friday"));
        assert!(!found("48", "Friday") && !found("friday 4", "Friday"), "a digit or two is no code");
        assert!(found("20 26", "Class of 2026"), "digits stand in titles, too");
    }

    #[test]
    fn signs_mean_themselves() {
        for (search, title) in [("%", "100 % sure"), ("_", "snake_case"), ("\\", "back\\slash"), ("'", "Ada's"), ("*", "a*b"), ("50%", "a 50% chance")] {
            assert!(found(search, title), "{search}");
            assert!(!found(search, "Friday all-hands"), "{search}");
        }
    }

    #[test]
    fn nothing_is_looked_for_when_nothing_was_typed_and_too_much_is_refused() {
        for nothing in ["", "  ", "\u{200b}", "\0", "\u{301}"] {
            assert_eq!(Search::parse(nothing).unwrap(), None, "{nothing:?}");
        }
        assert!(Search::parse(&"x".repeat(300)).unwrap().is_some());
        for long in ["x".repeat(301), "x ".repeat(1_000_000)] {
            assert!(matches!(Search::parse(&long), Err(Error::Invalid(r)) if r.code == "search_long"));
        }
    }
}
