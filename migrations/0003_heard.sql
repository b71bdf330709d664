-- The newest beat that came through the lane. `clock` is raised by direct signs, too, which go past whatever waits in line.
alter table lane_mark add column heard bigint not null default 0;
update lane_mark set heard = clock;
