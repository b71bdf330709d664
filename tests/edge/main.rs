//! The edge of `deploy/nginx/` in front of real servers, run by its own `start`: what it keeps, what it passes on, and what it says while
//! nobody is behind it. Not run where there is no nginx.

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
mod kept;
mod nginx;
mod outage;
mod poison;
mod relay;
mod smuggling;
mod tls;
