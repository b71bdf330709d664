-- When a successor, which holds batches of a process that died, last vouched that they are not lost. It was said with `clock` before;
-- but that also says how far the process got, and nobody knows that of a process that died.
alter table lane_mark add column vouched bigint not null default 0;
