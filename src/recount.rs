//! `groundswell recount`: every published count again from the ballots. What the database publishes is compared in one snapshot; what a running
//! server shows, when it is drawn from the same rows as that snapshot: the version of a document says so, so that people may vote meanwhile.

use std::time::Duration;

use crate::domain::EventId;
use crate::rehearsal::served::{Office, RESULTS, Shown, What};
use crate::store::{Discrepancy, Recount, Store};

/// How often an event is looked at again that changed meanwhile.
const LOOKS: usize = 5;
/// A server draws what changed within this time.
const PAUSE: Duration = Duration::from_millis(400);

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    pub ballots: u64,
    pub differences: Vec<Discrepancy>,
    /// Numbers that a server shows, and that were compared.
    pub shown: usize,
    /// Events that changed each time they were looked at: nothing is said of what is shown of them.
    pub moving: Vec<EventId>,
}

/// `server`: whose documents, results and tables are compared too.
pub async fn recount(store: &Store, server: Option<&Office>) -> anyhow::Result<Outcome> {
    let mut counted = store.recount_all().await?;
    let mut outcome = Outcome { ballots: counted.ballots, differences: std::mem::take(&mut counted.differences), ..Outcome::default() };
    let Some(server) = server else { return Ok(outcome) };
    let mut left: Vec<EventId> = counted.events.keys().copied().collect();
    for look in 1..=LOOKS {
        let mut moving = Vec::new();
        for id in left {
            let Some(event) = counted.events.get(&id) else { continue };
            match server.shown(&id.to_string(), &event.code).await? {
                Some((version, shown)) if version == event.version && is_of_these_rows(&counted, &shown) => {
                    outcome.shown += shown.len();
                    outcome.differences.extend(differences(&counted, shown));
                }
                _ => moving.push(id),
            }
        }
        left = moving;
        if left.is_empty() || look == LOOKS {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        counted = store.recount_all().await?;
    }
    outcome.moving = left;
    Ok(outcome)
}

/// What is read from the rows may be newer than the documents: then it has received more.
fn is_of_these_rows(counted: &Recount, shown: &[Shown]) -> bool {
    let received = |of: &Shown| counted.published.get(&(of.poll, of.round)).map_or(0, |round| round.books.received);
    shown.iter().filter(|one| one.place == RESULTS && one.what == What::Received).all(|one| one.value == received(one))
}

fn differences(counted: &Recount, shown: Vec<Shown>) -> Vec<Discrepancy> {
    let nothing = Default::default();
    let differs = |Shown { poll, round, place, what, value }: Shown| {
        let round_of = counted.recounted.get(&(poll, round)).unwrap_or(&nothing);
        let (name, expected) = match what {
            What::Votes(choice) => (format!("votes for choice {choice}"), round_of.counts.get(&choice).map_or(0, |count| count.votes)),
            What::Voters => ("voters".to_owned(), round_of.books.voters),
            What::Counted => ("counted".to_owned(), round_of.books.counted),
            What::Received => ("received".to_owned(), counted.published.get(&(poll, round)).map_or(0, |round| round.books.received)),
            What::Imbalance => ("imbalance of the books".to_owned(), 0),
        };
        (value != expected).then(|| Discrepancy { poll, round, what: format!("{name} in {place}"), published: value, recounted: expected })
    };
    shown.into_iter().filter_map(differs).collect()
}

/// One line for each difference, and one for all.
pub fn told(outcome: &Outcome) -> Vec<String> {
    let line = |d: &Discrepancy| format!("poll {} round {}: {} is published as {}, the ballots say {}", d.poll, d.round, d.what, d.published, d.recounted);
    let mut lines: Vec<String> = outcome.differences.iter().map(line).collect();
    if outcome.shown > 0 {
        lines.push(format!("{} numbers that the server shows were compared", outcome.shown));
    }
    lines.extend(outcome.moving.iter().map(|event| format!("event {event} changed while it was looked at: what is shown of it was not compared")));
    lines.push(format!("{} counting ballots (one per voter and round) recounted, {} differences", outcome.ballots, outcome.differences.len()));
    lines
}
