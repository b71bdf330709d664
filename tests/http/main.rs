//! Through the front door: a real server on a free port, real requests, on both backends.

#[path = "../support/mod.rs"]
mod support;

mod account;
mod alike;
mod bad_input;
mod caching;
mod client;
mod crowds;
#[path = "../contracts/door.rs"]
#[allow(dead_code)]
mod door;
mod files;
mod hall;
mod heads;
mod killed;
mod lists;
mod live;
mod look;
mod main_job;
mod office;
mod operations;
mod overload;
mod pages;
mod patience;
mod process;
mod rehearsal;
mod rounds;
mod routes;
mod sharing;
mod show;
mod traces;
mod trouble;
mod voting;
mod watching;
