-- A load test with the product's own voters: not in lists, and, unlike any other event, removable with its ballots.
alter table event add column rehearsal boolean not null default false;
