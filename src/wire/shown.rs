//! The public document read back, and what is asked of it: for pages and pictures of it. What the audience may not see is not in the document, so it cannot be here.

use serde::{Deserialize, Serialize};

use crate::domain::Millis;

#[derive(Deserialize)]
pub struct Shown {
    pub event: ShownEvent,
    pub polls: Vec<ShownPoll>,
}

#[derive(Deserialize)]
pub struct ShownEvent {
    pub code: String,
    pub slug: Option<String>,
    pub title: String,
    pub state: String,
    pub accent: Option<ShownAccent>,
    pub logo: Option<String>,
    #[serde(default)]
    pub rehearsal: bool,
}

/// One shade a theme.
#[derive(Deserialize)]
pub struct ShownAccent {
    pub light: String,
    pub dark: String,
}

#[derive(Deserialize)]
pub struct ShownPoll {
    pub id: String,
    pub kind: String,
    pub question: String,
    pub state: String,
    pub round: u32,
    opens_at: Option<Millis>,
    closes_at: Option<Millis>,
    /// None of a new round: it starts closed and was never open.
    closed_at: Option<Millis>,
    pub visibility: String,
    pub revealed: bool,
    pub choices: Vec<ShownChoice>,
    results: Option<ShownResults>,
}

#[derive(Deserialize)]
pub struct ShownChoice {
    pub id: String,
    pub text: String,
}

#[derive(Deserialize)]
pub struct ShownResults {
    pub voters: u64,
    pub status: String,
    choices: Vec<ShownCount>,
    pub before: Option<ShownBefore>,
}

/// The last round before this one in which anybody voted.
#[derive(Deserialize)]
pub struct ShownBefore {
    pub round: u32,
    pub voters: u64,
    choices: Vec<ShownCount>,
}

#[derive(Deserialize)]
struct ShownCount {
    id: String,
    votes: u64,
    percent: u32,
}

/// A title that begins a question and is this long was cut out of it: nobody writes so much twice. The back office ends it with "…".
const CUT_CHARS_MIN: usize = 100;

impl Shown {
    pub fn read(document: &[u8]) -> Shown {
        serde_json::from_slice(document).expect("we wrote the document")
    }

    pub fn has_ended(&self) -> bool {
        self.event.state == "ended"
    }

    /// Something that was counted stands there.
    pub fn has_results(&self, now: &Millis) -> bool {
        self.polls.iter().any(|poll| poll.results().is_some() && self.phase(poll, now) != Phase::NotAsked)
    }

    /// Now, or when the clock says so.
    pub fn takes_votes(&self, now: &Millis) -> bool {
        !self.has_ended() && self.polls.iter().any(|poll| poll.state == "open" && poll.phase(now) != Phase::Closed)
    }

    /// What was to come in an event that is over does not come any more.
    pub fn phase(&self, poll: &ShownPoll, now: &Millis) -> Phase {
        match poll.phase(now) {
            Phase::Soon if self.has_ended() => Phase::NotAsked,
            phase => phase,
        }
    }

    /// The title, unless it is a question that stands below: an event that was given none is called as its first.
    pub fn own_title(&self) -> Option<&str> {
        Some(self.event.title.as_str()).filter(|title| !self.polls.iter().any(|poll| poll.names(title)))
    }
}

/// Where a poll stands, the clock included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    Soon,
    Open,
    Closed,
    NotAsked,
}

impl ShownPoll {
    /// Is a title with these words this question, or the beginning of it?
    pub fn names(&self, title: &str) -> bool {
        let cut = title.strip_suffix('…').unwrap_or(title);
        self.question == title || (cut.chars().count() >= CUT_CHARS_MIN && self.question.starts_with(cut))
    }

    /// Where each person has one vote, votes are counted, else people.
    pub fn counts_votes(&self) -> bool {
        self.kind != "multiple"
    }

    fn phase(&self, now: &Millis) -> Phase {
        // Closed before its time to open had come. One that people voted on was given a new time after that.
        let has_votes = self.results.as_ref().is_some_and(|r| r.voters > 0);
        let was_never_open = !has_votes && self.opens_at.zip(self.closed_at).is_some_and(|(opens, closed)| closed < opens);
        match self.state.as_str() {
            "open" if self.opens_at.is_some_and(|at| now < &at) => Phase::Soon,
            "open" if self.closes_at.is_none_or(|at| now < &at) => Phase::Open,
            "open" => Phase::Closed,
            _ if self.closed_at.is_none() || was_never_open => Phase::Soon,
            _ => Phase::Closed,
        }
    }

    /// Results for somebody who has not voted: those of `after_vote` are in the document for phones that have.
    pub fn results(&self) -> Option<&ShownResults> {
        let waits_for_the_vote = self.visibility == "after_vote" && self.state == "open" && !self.revealed;
        self.results.as_ref().filter(|_| !waits_for_the_vote)
    }
}

impl ShownResults {
    /// Votes and whole percent of a choice.
    pub fn of(&self, choice: &str) -> (u64, u32) {
        of(&self.choices, choice)
    }

    pub fn is_final(&self) -> bool {
        self.status == "final"
    }

    /// The winner is marked when all is counted; where several are ahead of the rest, all of them.
    pub fn leads(&self, choice: &str) -> bool {
        let most = self.choices.iter().map(|c| c.votes).max().unwrap_or(0);
        self.is_final() && most > 0 && self.of(choice).0 == most
    }
}

impl ShownBefore {
    pub fn of(&self, choice: &str) -> (u64, u32) {
        of(&self.choices, choice)
    }
}

fn of(counts: &[ShownCount], choice: &str) -> (u64, u32) {
    counts.iter().find(|c| c.id == choice).map_or((0, 0), |c| (c.votes, c.percent))
}

/// Behind the question mark of a page.
#[derive(Deserialize)]
pub struct Wishes {
    pub lang: Option<String>,
    /// Of /status: to load itself again and again. A page that does so unasked takes what is being read from under the eyes.
    pub watch: Option<String>,
}

#[derive(Deserialize)]
pub struct OembedQuery {
    pub url: String,
    pub maxwidth: Option<u32>,
    pub maxheight: Option<u32>,
    pub format: Option<String>,
}

/// As oembed.com spells it.
#[derive(Serialize)]
pub struct OembedAnswer {
    pub version: &'static str,
    pub r#type: &'static str,
    pub provider_name: &'static str,
    pub title: String,
    pub html: String,
    pub width: u32,
    pub height: u32,
}
