//! Every number that a running server shows of an event: on the audience's and the presenter's document, as results, as a table, as ballots. What
//! `recount` compares with the rows.

use anyhow::{Context, ensure};
use serde_json::Value;

use super::client::{Client, Target};
use super::evidence;
use crate::domain::{ChoiceId, PollId};

/// Of which poll and round, where it is shown, and what it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Shown {
    pub poll: PollId,
    pub round: u32,
    pub place: &'static str,
    pub what: What,
    pub value: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    Votes(u16),
    Voters,
    Received,
    Counted,
    /// Received without what the books account for.
    Imbalance,
}

/// Read when they are asked for, not drawn before.
pub const RESULTS: &str = "results";

/// A server to be asked with an owner's token.
pub struct Office(Client);

impl Office {
    pub async fn at(url: &str, token: &str) -> anyhow::Result<Office> {
        Ok(Office(Client::new(Target::resolve(url).await?, Some(token.to_owned()))))
    }

    /// All numbers of the event, and the version of its documents; none while it changes. Equal versions are drawn from equal rows.
    pub async fn shown(&self, event: &str, code: &str) -> anyhow::Result<Option<(u64, Vec<Shown>)>> {
        let presenter = format!("/api/v1/events/{event}/live");
        let document = self.0.call("GET", &presenter, None).await?;
        let public = self.0.call("GET", &format!("/api/v1/live/{code}"), None).await?;
        let mut shown = Vec::new();
        for (place, document) in [("the presenter's document", &document), ("the live document", &public)] {
            for poll in document["polls"].as_array().context("a document without polls")? {
                of_results(place, poll, &poll["results"], &poll["books"], &mut shown)?;
            }
        }
        for poll in document["polls"].as_array().into_iter().flatten() {
            let id = poll["id"].as_str().context("a poll without an id")?;
            for round in 1..=number(&poll["round"])? {
                if !self.of_round(id, round as u32, &mut shown).await? {
                    return Ok(None);
                }
            }
        }
        let after = self.0.call("GET", &presenter, None).await?;
        let version = |document: &Value| document["version"].as_u64().context("a document without a version");
        let versions = [version(&document)?, version(&public)?, version(&after)?];
        Ok((versions[0] == versions[1] && versions[1] == versions[2]).then_some((versions[0], shown)))
    }

    /// False when it changed meanwhile. A document may be a moment older than these, which are read when they are asked for.
    async fn of_round(&self, id: &str, round: u32, shown: &mut Vec<Shown>) -> anyhow::Result<bool> {
        let path = format!("/api/v1/polls/{id}/results?round={round}");
        let results = self.0.call("GET", &path, None).await?;
        let poll: PollId = results["poll"].as_str().and_then(|id| id.parse().ok()).context("results without a poll")?;
        of_results(RESULTS, &results, &results["results"], &results["books"], shown)?;
        let mut push = |place, what, value| shown.push(Shown { poll, round, place, what, value });

        let (status, table) = self.0.text("GET", &format!("/api/v1/polls/{id}/results.csv?round={round}"), None).await?;
        ensure!(status == 200, "results.csv answers {status}");
        let mut table = csv::Reader::from_reader(table.trim_start_matches('\u{feff}').as_bytes());
        // In the order of the choices: two may have the same text.
        for (line, choice) in table.records().zip(results["choices"].as_array().into_iter().flatten()) {
            let line = line.context("results.csv cannot be read")?;
            let cell = |place: usize| line.get(place).and_then(|cell| cell.parse().ok()).context("results.csv has a number that is none");
            push("results.csv", What::Votes(number_of(choice)?), cell(4)?);
            push("results.csv", What::Voters, cell(6)?);
        }

        let rows = evidence::rows_of_round(&self.0, poll, Some(round), 0).await?;
        push("ballots.csv", What::Counted, rows.len() as i64);
        push("ballots.csv", What::Voters, rows.iter().filter(|row| !row.picks.is_empty()).count() as i64);
        for choice in results["choices"].as_array().into_iter().flatten() {
            let choice = number_of(choice)?;
            let votes = rows.iter().filter(|row| row.picks.iter().any(|pick| pick.choice == choice)).count();
            push("ballots.csv", What::Votes(choice), votes as i64);
        }
        let after = self.0.call("GET", &path, None).await?;
        Ok(after["books"]["received"] == results["books"]["received"])
    }
}

/// What is kept back is not shown.
fn of_results(place: &'static str, poll: &Value, results: &Value, books: &Value, shown: &mut Vec<Shown>) -> anyhow::Result<()> {
    let id = poll["id"].as_str().or(poll["poll"].as_str()).and_then(|id| id.parse().ok()).context("a poll without an id")?;
    let round = number(&poll["round"])? as u32;
    let mut push = |what, value| shown.push(Shown { poll: id, round, place, what, value });
    if results.is_object() {
        push(What::Voters, number(&results["voters"])?);
        for choice in results["choices"].as_array().context("results without choices")? {
            push(What::Votes(number_of(choice)?), number(&choice["votes"])?);
        }
    }
    if books.is_object() {
        let [received, counted, superseded, duplicate, late] = ["received", "counted", "superseded", "duplicate", "late"].map(|key| number(&books[key]));
        push(What::Imbalance, *received.as_ref().unwrap_or(&0) - *counted.as_ref().unwrap_or(&0) - superseded? - duplicate? - late?);
        push(What::Received, received?);
        push(What::Counted, counted?);
    }
    Ok(())
}

fn number(value: &Value) -> anyhow::Result<i64> {
    value.as_i64().context("a number that is none")
}

fn number_of(choice: &Value) -> anyhow::Result<u16> {
    let id: ChoiceId = choice["id"].as_str().and_then(|id| id.parse().ok()).context("a choice without an id")?;
    Ok(id.number)
}
