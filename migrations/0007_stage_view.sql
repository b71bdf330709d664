-- What the screens of whoever presents show beside the poll itself: the same on all of them, wherever they were opened.
create table stage_view (
    event bigint primary key references event (id) on delete cascade,
    -- Of the edit that changed it last: of two views the higher one is newer.
    edition bigint not null,
    joining boolean not null,
    blank boolean not null,
    sorted boolean not null,
    numbers text not null,
    size integer not null
);
