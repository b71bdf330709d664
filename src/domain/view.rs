//! What the screens of whoever presents show beside the poll itself. Not a word of it goes to the audience, but that
//! marks of the round before are taken off: they go from every screen.

use crate::error::Error;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numbers {
    Both,
    Percent,
    Count,
}

impl Numbers {
    pub fn as_str(self) -> &'static str {
        match self {
            Numbers::Both => "both",
            Numbers::Percent => "percent",
            Numbers::Count => "count",
        }
    }

    pub fn parse(text: &str) -> Result<Numbers, Error> {
        match text {
            "both" => Ok(Numbers::Both),
            "percent" => Ok(Numbers::Percent),
            "count" => Ok(Numbers::Count),
            _ => Err(Error::invalid("numbers_invalid", "Numbers are both, percent or count.")),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StageView {
    /// Of the edit that changed it last, 0 where nobody has: of two views the higher one is newer.
    pub edition: u64,
    /// How to join, full size, instead of the poll.
    pub joining: bool,
    pub blank: bool,
    /// By votes, instead of in the order of the choices.
    pub sorted: bool,
    /// Where the round before stood is marked, and its votes are named.
    pub earlier: bool,
    pub numbers: Numbers,
    /// A step of text size.
    pub size: u8,
}

/// As in static/present/fit.js; a test compares them.
pub const SIZE_STEPS: u8 = 7;
const SIZE_USUAL: u8 = 3;

impl Default for StageView {
    fn default() -> StageView {
        StageView { edition: 0, joining: false, blank: false, sorted: false, earlier: true, numbers: Numbers::Both, size: SIZE_USUAL }
    }
}

/// What is left out stays as it is: two remotes may change different things at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ViewEdit {
    pub joining: Option<bool>,
    pub blank: Option<bool>,
    pub sorted: Option<bool>,
    pub earlier: Option<bool>,
    pub numbers: Option<Numbers>,
    pub size: Option<u8>,
}

impl StageView {
    pub fn with(self, edit: ViewEdit, edition: u64) -> Result<StageView, Error> {
        let size = edit.size.unwrap_or(self.size);
        if size >= SIZE_STEPS {
            return Err(Error::invalid("size_invalid", "There is no such text size."));
        }
        Ok(StageView {
            edition,
            joining: edit.joining.unwrap_or(self.joining),
            blank: edit.blank.unwrap_or(self.blank),
            sorted: edit.sorted.unwrap_or(self.sorted),
            earlier: edit.earlier.unwrap_or(self.earlier),
            numbers: edit.numbers.unwrap_or(self.numbers),
            size,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screens_know_the_same_sizes() {
        let (_, rest) = include_str!("../../static/present/fit.js").split_once("SIZES = [").expect("the sizes");
        let sizes: Vec<&str> = rest.split_once(']').expect("their end").0.split(", ").collect();
        assert_eq!((sizes.len(), sizes[usize::from(SIZE_USUAL)]), (usize::from(SIZE_STEPS), "1"));
    }
}
