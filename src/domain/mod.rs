//! The rules of voting: what a poll allows, which ballot counts, what the result is.
//! No IO, no clock, no randomness: everything here is a function of its arguments.

mod ballot;
pub mod counting;
mod event;
mod id;
mod look;
mod mark;
mod percent;
mod poll;
mod search;
mod tally;
mod text;
mod view;

pub use ballot::{Ballot, Batch, Beat, Collapsed, Pick, Picks, Rank, SignedBallot, collapse};
pub use event::{Event, EventState, JoinCode, RESERVED_PATHS, Slug};
pub use id::{AccountId, BallotId, ChoiceId, EventId, InstanceId, PollId, ReportId, VoterId};
pub use look::{Accent, LOGO_BYTES_MAX, LogoKind, LogoName, Shades};
pub use mark::{GAPS_MANY, Mark, MarkColumns, Sign};
pub use percent::{largest_remainder, of_voters};
pub use poll::{Choice, Kind, Limits, Poll, PollState, Visibility};
pub use search::{FoundIn, Search};
pub use tally::{Books, Count, PollResult, ResultStatus, delta};
pub use text::{Email, Question, Title, tidy};
pub use view::{Numbers, StageView, ViewEdit};

/// Unix milliseconds. Every time in databases, JSON and messages is one of these.
pub type Millis = i64;

/// Ballots accepted up to this long after the close still count: web processes learn of a close within 500 ms, and one
/// that is cut off from the database may need longer. Later ones are `late`: kept, shown in the books, not counted.
pub const CLOSE_GRACE_MS: Millis = 2_000;

/// Number of queues when nothing else is configured. Fixed from the start, because queues are declared before the load.
pub const DEFAULT_LANES: u16 = 16;
