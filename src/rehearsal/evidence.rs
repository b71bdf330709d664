//! Reading everything a poll shows, once it is at rest: rows, results, documents, export. What the checker compares.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Deserialize;
use uuid::Uuid;

use super::checker::{Counts, Published, Row};
use super::client::Client;
use super::viewers::{BooksPart, Frame, read_document};
use crate::domain::{BallotId, Books, ChoiceId, Pick, Picks, PollId, VoterId};

#[derive(Deserialize)]
struct Results {
    results: ResultsPart,
    books: BooksPart,
}

#[derive(Deserialize)]
struct ResultsPart {
    voters: i64,
    choices: Vec<ChoicePart>,
}

#[derive(Deserialize)]
struct ChoicePart {
    id: String,
    votes: i64,
}

/// A document that is at rest shows the tally within this time, or it never does.
const LIVE_WITHIN: Duration = Duration::from_secs(3);

/// `last_event` is what the stream said last.
pub async fn published(office: &Client, code: &str, poll: PollId, last_event: Option<Frame>) -> anyhow::Result<Published> {
    let (tally, books) = results(office, poll, None).await?;
    // Another web process than the one that told us so may be a look at the database behind.
    let deadline = Instant::now() + LIVE_WITHIN;
    let live = loop {
        let (status, live) = office.text("GET", &format!("/api/v1/live/{code}"), None).await?;
        ensure!(status == 200, "the live document answers {status}");
        let live = read_document(live.as_bytes(), &poll.to_string(), 0).context("the live document does not show the poll")?;
        if live.counts == tally || Instant::now() > deadline {
            break live;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };

    let export = export(office, poll, None).await?;
    Ok(Published { tally, live: live.counts, stream: last_event.map(|frame| frame.counts), export, books })
}

/// The same of a round that no screen shows any more.
pub async fn published_of_round(office: &Client, poll: PollId, round: u32) -> anyhow::Result<Published> {
    let (tally, books) = results(office, poll, Some(round)).await?;
    let export = export(office, poll, Some(round)).await?;
    Ok(Published { live: tally.clone(), tally, stream: None, export, books })
}

fn query(round: Option<u32>) -> String {
    round.map(|round| format!("?round={round}")).unwrap_or_default()
}

async fn results(office: &Client, poll: PollId, round: Option<u32>) -> anyhow::Result<(Counts, Books)> {
    let results = office.call("GET", &format!("/api/v1/polls/{poll}/results{}", query(round)), None).await?;
    let results: Results = serde_json::from_value(results).context("results of a shape nobody knows")?;
    let number = |c: &ChoicePart| c.id.parse::<ChoiceId>().map(|id| (id.number, c.votes)).map_err(|_| anyhow::anyhow!("a choice named {}", c.id));
    let votes = results.results.choices.iter().map(number).collect::<Result<_, _>>()?;
    let tally = Counts { voters: results.results.voters, votes };
    let books = results.books.into_books(tally.voters);
    Ok((tally, books))
}

async fn export(office: &Client, poll: PollId, round: Option<u32>) -> anyhow::Result<Counts> {
    let (status, table) = office.text("GET", &format!("/api/v1/polls/{poll}/results.csv{}", query(round)), None).await?;
    ensure!(status == 200, "results.csv answers {status}");
    read_results(&table)
}

/// How the choices of a rehearsal are called: `results.csv` names them by their text.
pub fn choice_text(number: u16) -> String {
    format!("Choice {number}")
}

fn read_results(table: &str) -> anyhow::Result<Counts> {
    let mut counts = Counts::default();
    let mut reader = csv::Reader::from_reader(table.trim_start_matches('\u{feff}').as_bytes());
    for line in reader.records() {
        let line = line.context("results.csv cannot be read")?;
        let cell = |place: usize| line.get(place).context("results.csv has too few columns");
        let choice = cell(3)?.strip_prefix("Choice ").and_then(|n| n.parse().ok()).context("results.csv names an unknown choice")?;
        counts.votes.insert(choice, cell(4)?.parse().context("results.csv has a number of votes that is none")?);
        counts.voters = cell(6)?.parse().context("results.csv has a number of voters that is none")?;
    }
    Ok(counts)
}

/// All rows of the poll's round, off the stream; the text itself is never held.
pub async fn rows(office: &Client, poll: PollId, expected: usize) -> anyhow::Result<Vec<Row>> {
    rows_of_round(office, poll, None, expected).await
}

/// The same of one round, or of the newest.
pub async fn rows_of_round(office: &Client, poll: PollId, round: Option<u32>, expected: usize) -> anyhow::Result<Vec<Row>> {
    let mut table = Table { poll, rest: Vec::new(), begun: false, rows: Vec::with_capacity(expected) };
    let status = office.stream("GET", &format!("/api/v1/polls/{poll}/ballots.csv{}", query(round)), None, |bytes| table.take(bytes)).await?;
    ensure!(status == 200 && table.rest.is_empty(), "ballots.csv answers {status} and ends in the middle of a line");
    Ok(table.rows)
}

struct Table {
    poll: PollId,
    /// The line that has not ended yet.
    rest: Vec<u8>,
    begun: bool,
    rows: Vec<Row>,
}

const LINE_BYTES_MAX: usize = 16 * 1_024;

impl Table {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.rest.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(end) = memchr::memchr(b'\n', &self.rest[from..]) {
            let line = std::str::from_utf8(&self.rest[from..from + end]).map_err(io::Error::other)?.trim_end_matches('\r');
            if self.begun {
                let row = read_row(line, self.poll).ok_or_else(|| io::Error::other(format!("a line of ballots.csv that cannot be read: {line}")))?;
                self.rows.push(row);
            } else if line != "voter,ballot,revision,picks,accepted_at" {
                return Err(io::Error::other("ballots.csv has other columns"));
            }
            self.begun = true;
            from += end + 1;
        }
        self.rest.drain(..from);
        if self.rest.len() > LINE_BYTES_MAX { Err(io::Error::other("an endless line")) } else { Ok(()) }
    }
}

fn read_row(line: &str, poll: PollId) -> Option<Row> {
    let mut cells = line.split(',');
    let voter = VoterId(Uuid::parse_str(cells.next()?).ok()?);
    let ballot = BallotId(Uuid::parse_str(cells.next()?).ok()?);
    let revision = cells.next()?.parse().ok()?;
    let pick = |item: &str| {
        let (choice, weight) = item.split_once(':').unwrap_or((item, "1"));
        let choice: ChoiceId = choice.parse().ok()?;
        (choice.poll == poll).then_some(Pick { choice: choice.number, weight: weight.parse().ok()? })
    };
    let picks: Vec<Pick> = cells.next()?.split(' ').filter(|item| !item.is_empty()).map(pick).collect::<Option<_>>()?;
    let _accepted_at: i64 = cells.next()?.parse().ok()?;
    cells.next().is_none().then_some(Row { voter, ballot, revision, picks: Picks::from_slice(&picks) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_however_the_table_is_cut() {
        let poll = PollId::compose(1_764_000_000_000, 9);
        let voter = Uuid::from_u128(7);
        let text = format!(
            "voter,ballot,revision,picks,accepted_at\r\n{voter},{voter},2,{poll}-3,5\r\n{voter},{voter},1,{poll}-1:4 {poll}-2,6\r\n{voter},{voter},1,,6\r\n"
        );
        for cut in [1, 7, 100, 10_000] {
            let mut table = Table { poll, rest: Vec::new(), begun: false, rows: Vec::new() };
            text.as_bytes().chunks(cut).for_each(|part| table.take(part).unwrap());
            assert_eq!(table.rows.iter().map(|r| (r.revision, r.picks.as_str())).collect::<Vec<_>>(), [(2, "3"), (1, "1:4,2"), (1, "")]);
            assert!(table.rest.is_empty());
        }
        for broken in
            ["", "a,b,c,d,e", &format!("{voter},{voter},1,8f3k2m9qx1c7v-1,5"), &format!("{voter},{voter},1,{poll}-1"), &format!("{voter},{voter},1,,5,6")]
        {
            assert_eq!(read_row(broken, poll), None, "{broken}");
        }
    }

    #[test]
    fn an_export_says_what_each_choice_got() {
        let table = "\u{feff}question,round,status,choice,votes,percent,voters\r\nWhich?,1,final,Choice 1,3,60,5\r\nWhich?,1,final,Choice 2,2,40,5\r\n";
        assert_eq!(read_results(table).unwrap(), Counts { voters: 5, votes: [(1, 3), (2, 2)].into() });
        assert!(read_results("a\r\n1\r\n").is_err());
    }
}
