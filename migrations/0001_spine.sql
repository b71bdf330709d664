-- Both databases read this file. A line that ends in "-- postgres" or "-- sqlite" is for that one alone.
-- Types are the ones both understand: SQLite keeps a uuid as its 16 bytes and a boolean as 0 or 1.
-- Why each table exists: migrations/README.md.

-- One row. Its update serialises all edits of the back office, so that editions become visible in their order.
create table edition (
    id integer primary key check (id = 1),
    number bigint not null
);
insert into edition (id, number) values (1, 0);

create table account (
    id bigint primary key,
    email text not null unique,
    password_hash text not null,
    role text not null,
    created_at bigint not null
);

create table session (
    -- sha-256 of the cookie's token: a copy of this table opens nothing.
    token_hash bytea primary key,
    account bigint not null references account (id) on delete cascade,
    created_at bigint not null,
    expires_at bigint not null
);

-- The key that signs passes; the one-time setup token.
create table secret (
    name text primary key,
    value bytea not null
);

create table event (
    id bigint primary key,
    code text not null unique,
    slug text unique,
    title text not null,
    state text not null,
    current bigint,
    edition bigint not null,
    created_at bigint not null,
    updated_at bigint not null,
    -- Deleted events keep their ballots: nothing deletes ballots silently.
    deleted_at bigint
);
create index event_edition on event (edition);

create table poll (
    id bigint primary key,
    event bigint not null references event (id),
    position integer not null,
    kind text not null,
    question text not null,
    state text not null,
    round integer not null,
    min_picks integer not null,
    max_picks integer not null,
    change boolean not null,
    visibility text not null,
    revealed boolean not null,
    opens_at bigint,
    closes_at bigint,
    created_at bigint not null,
    deleted_at bigint
);
create index poll_event on poll (event);

create table choice (
    poll bigint not null references poll (id),
    -- Never used twice in a poll: ballots name choices by it.
    number integer not null,
    position integer not null,
    text text not null,
    removed boolean not null default false,
    primary key (poll, number)
);

create table round (
    poll bigint not null references poll (id),
    round integer not null,
    opened_at bigint,
    closed_at bigint,
    primary key (poll, round)
);

-- One row per voter and round: the ballot that counts, and the picks it replaced.
create table ballot (
    poll bigint not null,
    round integer not null,
    voter uuid not null,
    ballot uuid not null,
    revision integer not null,
    -- choice[:weight], comma between; '' is a cleared vote.
    picks text not null,
    -- What the last change took off the tally; null when this is the voter's first.
    prior text,
    accepted_at bigint not null,
    primary key (poll, round, voter)
) -- postgres
-- A changed vote rewrites its row; room left on the page keeps the index out of it. -- postgres
with (fillfactor = 80); -- postgres
) without rowid; -- sqlite

-- Accepted too long after the close by a process that was cut off: kept, shown in the books, not counted.
create table late_ballot (
    poll bigint not null,
    round integer not null,
    voter uuid not null,
    ballot uuid not null,
    revision integer not null,
    picks text not null,
    accepted_at bigint not null,
    primary key (poll, round, voter, ballot)
);

-- Keyed by lane too, so that each row has one writer. Readers sum.
create table tally (
    poll bigint not null,
    round integer not null,
    lane integer not null,
    choice integer not null,
    votes bigint not null,
    weight bigint not null,
    primary key (poll, round, choice, lane)
) -- postgres
with (fillfactor = 50); -- postgres
) without rowid; -- sqlite

-- received = counted + superseded + duplicate + late
create table book (
    poll bigint not null,
    round integer not null,
    lane integer not null,
    received bigint not null,
    counted bigint not null,
    superseded bigint not null,
    duplicate bigint not null,
    late bigint not null,
    voters bigint not null,
    changed_at bigint not null,
    primary key (poll, round, lane)
);
create index book_changed on book (changed_at);

-- How far each lane of each web process has been worked off: a watermark and its exceptions.
create table lane_mark (
    instance uuid not null,
    lane integer not null,
    through bigint not null,
    ahead text not null,
    last bigint not null,
    clock bigint not null,
    counted_to bigint not null,
    ended boolean not null,
    primary key (instance, lane)
);

-- Messages nobody could read, kept as they came.
create table quarantine (
    id bigint primary key,
    lane integer not null,
    arrived_at bigint not null,
    reason text not null,
    body bytea not null
);

create table audit (
    id bigint primary key,
    at bigint not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null
);
