//! Mistakes on purpose: a test that no mistake can make fail proves nothing, so each of these is switched on in a real server, one at a
//! time, and must be caught (tests/nemesis). Compiled with the feature `planted` only, never into a release; without
//! `GROUNDSWELL_TEST_MISTAKE` the server is an honest one all the same.

use std::sync::LazyLock;

#[cfg(not(debug_assertions))]
compile_error!("the feature `planted` is made of mistakes: it is for tests, and never part of a release");

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Planted {
    /// A batch is acknowledged when it is taken, not when it is committed.
    AckBeforeCommit,
    /// What no queue takes is confirmed by the broker and gone.
    PublishWithoutMandatory,
    /// A batch that comes twice is applied twice.
    NoDedupe,
    /// The 202 before the sync.
    SpillWithoutSync,
    /// What arrives last counts, whatever its rank: a replay puts old ballots over newer ones.
    ReplayOverwrites,
    /// The tally adds up what was sent, not what the rows hold.
    TallyOfTheSent,
    /// An entry goes from the spill when it was sent, confirmed or not.
    ReleaseUnconfirmed,
    /// A confirm that does not come is taken for a refusal: nothing is spilled, and phones are told that the vote does not count.
    SilenceIsRefusal,
}

pub const ALL: [(&str, Planted); 8] = [
    ("ack-before-commit", Planted::AckBeforeCommit),
    ("publish-without-mandatory", Planted::PublishWithoutMandatory),
    ("no-dedupe", Planted::NoDedupe),
    ("spill-without-sync", Planted::SpillWithoutSync),
    ("replay-overwrites", Planted::ReplayOverwrites),
    ("tally-of-the-sent", Planted::TallyOfTheSent),
    ("release-unconfirmed", Planted::ReleaseUnconfirmed),
    ("silence-is-refusal", Planted::SilenceIsRefusal),
];

pub fn is(planted: Planted) -> bool {
    static CHOSEN: LazyLock<Option<Planted>> = LazyLock::new(|| {
        let name = std::env::var("GROUNDSWELL_TEST_MISTAKE").ok()?;
        let found = ALL.iter().find(|(known, _)| *known == name);
        Some(found.unwrap_or_else(|| panic!("GROUNDSWELL_TEST_MISTAKE: there is no mistake named {name}")).1)
    });
    *CHOSEN == Some(planted)
}

/// The upsert without its rule.
pub fn overwriting(upsert: &str) -> String {
    const RULE: &str = "(excluded.revision, excluded.ballot) > (b.revision, b.ballot)";
    assert!(upsert.contains(RULE), "the rule stands in this statement");
    if is(Planted::ReplayOverwrites) { upsert.replace(RULE, "true") } else { upsert.to_owned() }
}
