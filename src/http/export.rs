//! Results on paper: as JSON, as a table for a spreadsheet, and the books.

use std::fmt::Write;

use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse, get, route};
use futures_util::stream::unfold;
use serde::Deserialize;

use super::audience::LIVE_CACHE;
use super::office::{event_of, find, private};
use super::pages::{shown, shown_poll};
use super::pass::Level;
use super::sessions::Owner;
use super::site::Site;
use crate::domain::{ChoiceId, Poll, PollId, VoterId};
use crate::error::{Error, Result};
use crate::live::counted_of;
use crate::store::{BallotRow, Standing, Store};
use crate::wire::document::{BooksPart, ChoicePart, Counted, ResultsPart};
use crate::wire::office::{BooksAnswer, ResultsAnswer};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundQuery {
    round: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundAndLanguageQuery {
    pub round: Option<u32>,
    pub lang: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LanguageQuery {
    pub lang: Option<String>,
}

#[get("/api/v1/polls/{poll}/results")]
pub async fn results(_owner: Owner, site: Data<Site>, poll: Path<String>, query: Query<RoundQuery>) -> Result<HttpResponse> {
    let Report { poll, rounds, counted, standing } = report(&site, &poll, query.round).await?;
    let answer = ResultsAnswer {
        poll: poll.id.to_string(),
        round: poll.round,
        rounds,
        question: &poll.question,
        choices: ChoicePart::all(&poll),
        results: ResultsPart::of(&poll, &counted),
        level: Level::Open.as_str(),
        books: BooksAnswer::of(BooksPart::of(&counted.books, counted.status), &standing),
    };
    Ok(private(HttpResponse::Ok()).json(answer))
}

#[get("/api/v1/polls/{poll}/books")]
pub async fn books(_owner: Owner, site: Data<Site>, poll: Path<String>, query: Query<RoundQuery>) -> Result<HttpResponse> {
    let Report { counted, standing, .. } = report(&site, &poll, query.round).await?;
    Ok(private(HttpResponse::Ok()).json(BooksAnswer::of(BooksPart::of(&counted.books, counted.status), &standing)))
}

#[get("/api/v1/polls/{poll}/results.csv")]
pub async fn results_csv(_owner: Owner, site: Data<Site>, poll: Path<String>, query: Query<RoundQuery>) -> Result<HttpResponse> {
    let Report { poll, counted, .. } = report(&site, &poll, query.round).await?;
    let table = table_of(&poll, &counted).map_err(Error::internal)?;
    let name = format!("attachment; filename=\"poll-{}-round-{}.csv\"", poll.id, poll.round);
    Ok(private(HttpResponse::Ok()).content_type("text/csv; charset=utf-8").insert_header(("Content-Disposition", name)).body(table))
}

/// Rows of one page of `ballots.csv`: about a megabyte of text, and what is held for one reader.
const PAGE_ROWS: u32 = 8_000;

/// Every ballot that counts, so that anybody can count again: with the voter's anonymous id, and the time its batch was accepted. Whoever
/// knows when somebody tapped may find that ballot by its time; so it is for owners only.
#[get("/api/v1/polls/{poll}/ballots.csv")]
pub async fn ballots_csv(_owner: Owner, site: Data<Site>, poll: Path<String>, query: Query<RoundQuery>) -> Result<HttpResponse> {
    let (event, id) = event_of(&site, &poll).await?;
    let event = site.store.event(event).await?;
    let newest = find(&event, id)?.round;
    let round = query.round.unwrap_or(newest);
    if round == 0 || round > newest {
        return Err(round_unknown());
    }
    let name = format!("attachment; filename=\"poll-{id}-round-{round}-ballots.csv\"");
    let pages = Pages { store: site.store.clone(), poll: id, round, after: None };
    let body = unfold(Some(pages), |pages| async move {
        match pages?.next().await {
            Ok((bytes, rest)) => Some((Ok(bytes), rest)),
            // Broken off without its end, so that nobody takes a part for the whole.
            Err(error) => {
                tracing::error!(%error, "an export of ballots was broken off");
                Some((Err(error), None))
            }
        }
    });
    Ok(private(HttpResponse::Ok()).content_type("text/csv; charset=utf-8").insert_header(("Content-Disposition", name)).streaming(body))
}

struct Pages {
    store: Store,
    poll: PollId,
    round: u32,
    after: Option<VoterId>,
}

impl Pages {
    /// One page as text, and what comes behind it.
    async fn next(self) -> Result<(Bytes, Option<Pages>)> {
        let rows = self.store.ballots(self.poll, self.round, self.after, PAGE_ROWS).await?;
        // A megabyte is milliseconds of writing, in which this thread would answer no vote.
        tokio::task::spawn_blocking(move || self.write(&rows)).await.map_err(Error::internal)
    }

    fn write(self, rows: &[BallotRow]) -> (Bytes, Option<Pages>) {
        let mut text = String::with_capacity(rows.len() * 128 + 64);
        if self.after.is_none() {
            text.push_str("voter,ballot,revision,picks,accepted_at\r\n");
        }
        for row in rows {
            // Ids and numbers: nothing here needs a quote, and nothing is a formula.
            write!(text, "{},{},{},", row.voter, row.ballot, row.revision).expect("writing to a String cannot fail");
            for (place, pick) in row.picks.iter().enumerate() {
                let choice = ChoiceId { poll: self.poll, number: pick.choice };
                write!(text, "{}{choice}", if place > 0 { " " } else { "" }).expect("writing to a String cannot fail");
                if pick.weight != 1 {
                    write!(text, ":{}", pick.weight).expect("writing to a String cannot fail");
                }
            }
            write!(text, ",{}\r\n", row.accepted_at).expect("writing to a String cannot fail");
        }
        let more = rows.len() == PAGE_ROWS as usize;
        let rest = rows.last().filter(|_| more).map(|last| Pages { after: Some(last.voter), ..self });
        (text.into(), rest)
    }
}

fn round_unknown() -> Error {
    Error::not_found("round_unknown", "This poll has no such round.")
}

/// One round of a poll with its numbers; `poll.round` and `poll.choices` are that round's.
pub struct Report {
    pub poll: Poll,
    rounds: Vec<u32>,
    pub counted: Counted,
    standing: Standing,
}

pub async fn report(site: &Site, poll: &str, round: Option<u32>) -> Result<Report> {
    let (event, id) = event_of(site, poll).await?;
    // Before the counts: the other way round, the last votes could fall between the two, and a result be called final without them.
    let standing = site.store.standing().await?;
    let event = site.store.event(event).await?;
    let mut poll = find(&event, id)?.clone();
    let history = site.store.history(id).await?;
    let tallies = site.store.tallies(vec![id]).await?;
    let round = round.unwrap_or(poll.round);
    if round == 0 || round > poll.round {
        return Err(round_unknown());
    }
    let tally = tallies.get(&id).cloned().unwrap_or_default();
    let closed_at = if round == poll.round { poll.closed_at } else { history.rounds.get(&round).copied().flatten() };
    // A choice removed since stands in the results of the rounds in which it was picked.
    let was_there = |removed: bool, number: u16| !removed || tally.rounds.get(&round).and_then(|t| t.counts.get(&number)).is_some_and(|c| c.votes != 0);
    poll.choices = history.choices.into_iter().filter(|(choice, removed)| was_there(*removed, choice.number)).map(|(choice, _)| choice).collect();
    let rounds = (1..=poll.round).collect();
    poll.round = round;
    let counted = counted_of(&poll, &tally, closed_at, standing.settled_through);
    Ok(Report { poll, rounds, counted, standing })
}

/// What the audience may see, in the same columns: for graphics machines and spreadsheets that follow it. Without a result to show, its cells
/// are empty.
#[route("/results/{code}/{poll}.csv", method = "GET", method = "HEAD")]
pub async fn shown_csv(request: HttpRequest, path: Path<(String, String)>, site: Data<Site>) -> Result<HttpResponse> {
    let (code, poll) = path.into_inner();
    let shown = shown(&site, &request, &code).await?;
    let poll = shown_poll(&shown, &poll)?;
    let result = poll.results();
    let rows = poll.choices.iter().map(|choice| TableRow { choice: &choice.text, counted: result.map(|r| r.of(&choice.id)) });
    let about = About { question: &poll.question, round: poll.round, status: result.map_or("", |r| &r.status), voters: result.map(|r| r.voters) };
    let table = table(&about, rows).map_err(Error::internal)?;
    Ok(HttpResponse::Ok().content_type("text/csv; charset=utf-8").insert_header((CACHE_CONTROL, LIVE_CACHE.clone())).body(table))
}

/// What stands in each row of a table.
struct About<'a> {
    question: &'a str,
    round: u32,
    status: &'a str,
    voters: Option<u64>,
}

struct TableRow<'a> {
    choice: &'a str,
    /// Votes and whole percent.
    counted: Option<(u64, u32)>,
}

fn table_of(poll: &Poll, counted: &Counted) -> anyhow::Result<Vec<u8>> {
    let about = About { question: &poll.question, round: poll.round, status: counted.status.as_str(), voters: Some(counted.result.voters) };
    table(
        &about,
        counted
            .result
            .choices
            .iter()
            .zip(&poll.choices)
            .map(|((_, votes, percent), choice)| TableRow { choice: &choice.text, counted: Some((*votes, *percent)) }),
    )
}

fn table<'a>(about: &About<'_>, rows: impl Iterator<Item = TableRow<'a>>) -> anyhow::Result<Vec<u8>> {
    // A spreadsheet takes UTF-8 for what it is only with this mark in front.
    let mut out = "\u{feff}".as_bytes().to_vec();
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(&mut out);
    csv.write_record(["question", "round", "status", "choice", "votes", "percent", "voters"])?;
    let known = |number: Option<u64>| number.map_or_else(String::new, |n| n.to_string());
    for TableRow { choice, counted } in rows {
        csv.write_record([
            &harmless(about.question),
            &about.round.to_string(),
            about.status,
            &harmless(choice),
            &known(counted.map(|(votes, _)| votes)),
            &known(counted.map(|(_, percent)| percent.into())),
            &known(about.voters),
        ])?;
    }
    csv.flush()?;
    drop(csv);
    Ok(out)
}

/// What formulas begin with, in full width, too: some spreadsheets take that for the same.
const FORMULA_STARTS: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];

/// A cell that a spreadsheet would take for a formula gets a quote in front, as OWASP advises.
fn harmless(text: &str) -> String {
    if text.starts_with(FORMULA_STARTS) { format!("'{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Books, Choice, EventId, Kind, Limits, PollId, PollResult, PollState, ResultStatus, Visibility};

    #[test]
    fn no_cell_is_a_formula_and_the_table_reads_back() {
        let texts = ["=1+1", "+1", "-1", "@sum", "＝1+1", "plain, \"quoted\"\nline"];
        let poll = Poll {
            id: PollId(1),
            event: EventId(1),
            position: 0,
            kind: Kind::Single,
            question: "=cmd|' /C calc'!A0".into(),
            state: PollState::Closed,
            round: 2,
            closed_at: None,
            earlier_closed_at: None,
            opens_at: None,
            closes_at: None,
            limits: Limits { min: 1, max: 1 },
            change: true,
            visibility: Visibility::Live,
            revealed: true,
            locked: true,
            choices: texts.iter().zip(1..).map(|(text, number)| Choice { number, text: (*text).into() }).collect(),
        };
        let result = PollResult { voters: 6, choices: (1..=6).map(|n| (n, 1, 20)).collect() };
        let out = table_of(&poll, &Counted { result, books: Books::default(), status: ResultStatus::Final, before: None }).unwrap();
        let mut reader = csv::Reader::from_reader(&out[3..]);
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 6);
        for (row, text) in rows.iter().zip(texts) {
            assert!(row.iter().all(|cell| !cell.starts_with(FORMULA_STARTS)), "{row:?}");
            assert_eq!(row[3].trim_start_matches('\''), text);
        }
    }
}
