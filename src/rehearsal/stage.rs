//! The event of a rehearsal: made or taken over, given a poll, and removed again. Only what says of itself that it is a rehearsal is touched.

use anyhow::{Context, ensure};
use serde_json::json;

use super::client::Client;
use super::{Moment, Plan, evidence, report};
use crate::domain::PollId;

/// Where the rehearsal takes place: an event that is flagged as one, and a poll of its own in it.
pub struct Stage {
    pub event: String,
    pub code: String,
    pub join_url: String,
    pub poll: PollId,
    /// Made by us, so to be removed by us.
    ours: bool,
}

impl Stage {
    pub async fn prepare(office: &Client, plan: &Plan) -> anyhow::Result<Stage> {
        let (event, ours) = match &plan.event {
            Some(id) => (office.call("GET", &format!("/api/v1/events/{id}"), None).await?, false),
            None => {
                let title = format!("Rehearsal: {} within {}", report::count(plan.voters.into()), report::seconds(plan.over.as_secs_f64()));
                (office.call("POST", "/api/v1/events", Some(json!({"title": title, "rehearsal": true}))).await?, true)
            }
        };
        let id = event["id"].as_str().context("an event without an id")?.to_owned();
        // Also of the one just made: a server that does not know the flag would list it among people's events.
        ensure!(event["rehearsal"] == true, "the event {id} is not a rehearsal, so nothing is done to it");
        match Stage::furnish(office, plan, &event, &id, ours).await {
            Err(why) if ours && !plan.keep => Err(match remove(office, &id).await {
                Ok(()) => why,
                Err(also) => anyhow::anyhow!("{why:#}; also, {also:#}"),
            }),
            Err(why) if ours => Err(why.context(format!("the rehearsal {id} was made, and is kept"))),
            outcome => outcome,
        }
    }

    async fn furnish(office: &Client, plan: &Plan, event: &serde_json::Value, id: &str, ours: bool) -> anyhow::Result<Stage> {
        let choices: Vec<String> = (1..=plan.choices).map(evidence::choice_text).collect();
        let body = json!({"kind": "single", "question": "How does it end?", "choices": choices});
        let poll = office.call("POST", &format!("/api/v1/events/{id}/polls"), Some(body)).await?;
        let poll: PollId = poll["id"].as_str().and_then(|id| id.parse().ok()).context("a poll without an id")?;
        office.call("PUT", &format!("/api/v1/polls/{poll}/state"), Some(json!({"state": "open"}))).await?;
        let live = office.call("GET", &format!("/api/v1/events/{id}/live"), None).await?;
        let join_url = live["join_url"].as_str().unwrap_or_default().to_owned();
        Ok(Stage { code: event["code"].as_str().context("an event without a code")?.to_owned(), event: id.to_owned(), join_url, poll, ours })
    }

    pub async fn leave(&self, office: &Client, keep: bool, ballots: u64, tell: &(dyn Fn(Moment) + Sync)) -> anyhow::Result<()> {
        if !self.ours || keep {
            tell(Moment::Kept { event: self.event.clone() });
            return Ok(());
        }
        tell(Moment::Removing { ballots });
        remove(office, &self.event).await
    }
}

async fn remove(office: &Client, event: &str) -> anyhow::Result<()> {
    let path = format!("/api/v1/events/{event}");
    let removed = async {
        // Once more asked: this is the only thing a rehearsal deletes.
        ensure!(office.call("GET", &path, None).await?["rehearsal"] == true, "the event {event} is not a rehearsal");
        office.call("DELETE", &path, None).await
    };
    removed.await.with_context(|| format!("the rehearsal {event} is still there; DELETE {path} removes it"))?;
    Ok(())
}
