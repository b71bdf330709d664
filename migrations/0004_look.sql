-- How an event looks: a colour, and a logo by its name.
alter table event add column accent text;
alter table event add column logo text;

-- Small pictures, checked before they are kept. Two events with the same picture share it.
create table logo (
    -- A hash of the bytes, and what they are: 9f86d081….png
    name text primary key,
    bytes bytea not null,
    created_at bigint not null
);
