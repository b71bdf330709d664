//! Text that people type: forgiven where it can be, bounded always. Nothing here escapes anything; whoever writes
//! HTML, CSV or JSON does that at its own door.

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

use crate::error::Error;

pub const TITLE_GRAPHEMES_MAX: usize = 120;
pub const QUESTION_GRAPHEMES_MAX: usize = 300;
pub const CHOICE_GRAPHEMES_MAX: usize = 140;
/// A grapheme may be a letter under a hundred accents ("combining bomb"): the bytes are bounded too.
const BYTES_PER_GRAPHEME_MAX: usize = 16;
const EMAIL_BYTES_MAX: usize = 254;

/// NFC, control characters and direction overrides dropped, white space collapsed, ends trimmed.
pub fn tidy(raw: &str) -> String {
    let mut tidy = String::with_capacity(raw.len());
    let mut gap = false;
    for c in raw.nfc() {
        if c.is_whitespace() || c.is_control() {
            gap = !tidy.is_empty();
        } else if !is_invisible_trick(c) {
            if std::mem::take(&mut gap) {
                tidy.push(' ');
            }
            tidy.push(c);
        }
    }
    tidy
}

/// Direction overrides turn text around on other people's screens, and zero-width characters make two choices that look the same.
/// The joiner U+200D stays (families of emoji need it), and so do the marks U+200E/F that Arabic and Hebrew need.
fn is_invisible_trick(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// Tidied; `missing` where nothing is left, `long` where it is too much.
pub(super) fn bounded<E>(raw: &str, graphemes_max: usize, missing: E, long: E) -> Result<String, E> {
    let bytes_max = graphemes_max * BYTES_PER_GRAPHEME_MAX;
    // Before the work of normalising: a megabyte is refused for a comparison.
    if raw.len() > bytes_max * 2 {
        return Err(long);
    }
    let text = tidy(raw);
    if text.is_empty() {
        Err(missing)
    } else if text.len() > bytes_max || text.graphemes(true).count() > graphemes_max {
        Err(long)
    } else {
        Ok(text)
    }
}

macro_rules! bounded_text {
    ($name:ident, $max:expr, $missing_code:literal, $missing:literal, $long_code:literal, $long:literal) => {
        #[derive(Clone, PartialEq, Eq, Debug)]
        pub struct $name(String);

        impl $name {
            pub fn parse(raw: &str) -> Result<Self, Error> {
                bounded(raw, $max, Error::invalid($missing_code, $missing), Error::invalid($long_code, $long)).map($name)
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
    };
}

bounded_text!(Title, TITLE_GRAPHEMES_MAX, "title_missing", "Give the event a title.", "title_long", "The title is too long: at most 120 characters.");
bounded_text!(Question, QUESTION_GRAPHEMES_MAX, "question_missing", "Type a question.", "question_long", "The question is too long: at most 300 characters.");
bounded_text!(ChoiceText, CHOICE_GRAPHEMES_MAX, "choice_missing", "A choice has no text.", "choice_long", "A choice is too long: at most 140 characters.");

/// An address to sign in with. Not verified by mail, so only what could not be one is refused.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Email(String);

impl Email {
    pub fn parse(raw: &str) -> Result<Email, Error> {
        let email = raw.trim().to_lowercase();
        let shaped = email.split_once('@').is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'));
        if shaped && email.len() <= EMAIL_BYTES_MAX && !email.contains(|c: char| c.is_whitespace() || c.is_control()) {
            Ok(Email(email))
        } else {
            Err(Error::invalid("email_invalid", "This does not look like an e-mail address."))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typed_text_is_forgiven() {
        assert_eq!(tidy("  Which\t ending?\r\n "), "Which ending?");
        assert_eq!(tidy("e\u{301}vil \u{202e}txt"), "évil txt");
        assert_eq!(tidy("👨‍👩‍👧 <script>"), "👨‍👩‍👧 <script>");
    }

    #[test]
    fn what_is_too_long_or_empty_is_refused_with_a_sentence() {
        assert!(Title::parse("\u{200b}\n").is_err());
        assert!(Question::parse(&"x".repeat(301)).is_err());
        assert!(Question::parse(&"x".repeat(300)).is_ok());
        assert!(Question::parse(&"x".repeat(1_000_000)).is_err());
        assert!(Title::parse(&format!("a{}", "\u{301}".repeat(3_000))).is_err());
    }

    #[test]
    fn an_address_needs_a_name_and_a_host() {
        assert_eq!(Email::parse(" Ada@Example.ORG ").unwrap().as_str(), "ada@example.org");
        for raw in ["", "ada", "@x", "ada@", "a@b@c", "a b@c"] {
            assert!(Email::parse(raw).is_err(), "{raw}");
        }
    }
}
