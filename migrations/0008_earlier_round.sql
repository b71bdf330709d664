-- Whether the big screen marks where the round before stood. Shown unless somebody says otherwise.
alter table stage_view add column earlier boolean not null default true;
