//! The edges of `deploy/nginx/` and `deploy/varnish/` in front of real servers: what they keep, what they pass on, and what they say while
//! nobody is behind them. Not run where there is no nginx or Varnish.

#[path = "../support/mod.rs"]
mod support;

#[path = "../http/client.rs"]
#[allow(dead_code)]
mod client;
#[path = "../http/hall.rs"]
#[allow(dead_code)]
mod hall;
#[path = "../http/process.rs"]
#[allow(dead_code)]
mod process;

mod address;
mod crowd;
mod edge;
mod kept;
mod nginx;
mod outage;
mod poison;
mod relay;
mod smuggling;
mod tls;
mod varnish;
