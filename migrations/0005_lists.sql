-- What the back office lists: events in their order, and what rehearsals came to.

-- The list of events is read in steps, newest first, each from where the one before ended.
create index event_listed on event (rehearsal, created_at, id) where deleted_at is null;

-- Apart from `event`: a rehearsal is removed with its ballots, and last week's verdict stays. The newest few
-- are kept; store/reports.rs says how many.
create table rehearsal_report (
    -- Sorts by the time it was handed in.
    id bigint primary key,
    -- No reference: what an event was removed with is no business of its report.
    event bigint not null,
    title text not null,
    -- The first tap, by the clock of whoever rehearsed. Handed in again, a report replaces itself.
    at bigint not null,
    kept_at bigint not null,
    -- What a list of them shows; the rest is in the report.
    groundswell text not null,
    verdict text not null,
    fit text not null,
    voters bigint not null,
    over_ms bigint not null,
    counted_ms bigint not null,
    lost bigint not null,
    -- JSON, as `wire` writes it.
    report text not null,
    unique (event, at)
);
