//! Through the front door: a real server on a free port, real requests, on both backends.

#[path = "../support/mod.rs"]
mod support;

mod main_job;
