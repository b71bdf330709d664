//! The door: takes connections, as many as there is room for, listens to each for votes, and gives whatever else is asked to HTTP, with a way
//! out for streams. What `HttpServer` does, but for these three.

use std::io;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix_http::error::DispatchError;
use actix_http::{ConnectionType, HttpService, KeepAlive, Request};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_factory, fn_service, map_config};
use actix_web::body::{BodySize, MessageBody};
use actix_web::dev::{AppConfig, Server};
use actix_web::http::Method;
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use actix_web::{App, Error, middleware};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::body::TooSlow;
use super::limits::Limits;
use super::line::{Line, Told};
use super::seat::Seat;
use super::site::Site;
use super::talk::{House, Talk};

/// Requests that are being answered get this long when the server stops.
const SHUTDOWN_TIMEOUT_S: u64 = 10;
/// A head that takes longer is given up.
const REQUEST_HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that was told that the connection ends gets this long to end it too.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Connections that are told there is no room, at once; beyond, they are closed without a word.
const REFUSALS_MAX: usize = 64;
const REFUSAL_READ_BYTES_MAX: usize = 64 * 1_024;

/// `site` is called once on each thread. Connections are limited by `limits`.
pub fn serve(listener: TcpListener, threads: usize, limits: Arc<Limits>, site: impl Fn() -> Site + Send + Clone + 'static) -> io::Result<Server> {
    let builder = Server::build();
    let draining = builder.graceful_shutdown_signal();
    let server = builder
        .workers(threads)
        // The limit is ours, and across threads.
        .max_concurrent_connections(usize::MAX)
        .shutdown_timeout(SHUTDOWN_TIMEOUT_S)
        .disable_signals()
        .listen("public", listener, move || {
            let (limits, draining) = (limits.clone(), draining.clone());
            let voting = middleware::from_fn(super::votes_first);
            let site = Data::new(site());
            let app = App::new().app_data(site.clone()).wrap(super::security_headers()).wrap(voting).configure(super::routes);
            let app = app.into_factory().map_err(|error: Error| error.error_response());
            let places = limits.clone();
            // Around everything, and without a box.
            let app = apply_fn_factory(app, move |request: Request, app| {
                let seat = request.conn_data::<Rc<Seat>>().cloned().expect("every connection has one");
                let (at_work, is_head) = (seat.at_work(), request.method() == Method::HEAD);
                let (answer, kept) = (app.call(request), !places.places_are_few());
                async move {
                    let mut answer = answer.await?;
                    drop(at_work);
                    if answer.response().extensions().contains::<TooSlow>() {
                        seat.give_up();
                    }
                    seat.answers(if is_head { BodySize::None } else { answer.response().body().size() });
                    if !kept {
                        answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
                    }
                    Ok(answer.map_body(|_, body| Told::new(body, seat)))
                }
            });
            let (of_http, of_connections) = (draining.clone(), draining);
            let http = HttpService::build()
                .graceful_shutdown_signal(move || {
                    let draining = of_http.clone();
                    async move { draining.notified().await }
                })
                // The line minds that: HTTP would set a timer anew for each answer, and stop it for good at the first byte of a next head.
                .keep_alive(KeepAlive::Os)
                .client_request_timeout(REQUEST_HEAD_TIMEOUT)
                .client_disconnect_timeout(DISCONNECT_TIMEOUT)
                .h1_allow_half_closed(false)
                .on_connect_ext(|line: &Line, data| {
                    data.insert(line.seat());
                })
                .h1(map_config(app, |()| AppConfig::default()));
            let house = House::new(site);
            fn_factory(move || {
                let (http, house, limits, draining) = (http.new_service(()), house.clone(), limits.clone(), of_connections.clone());
                async move {
                    let http = Rc::new(http.await?);
                    Ok::<_, ()>(fn_service(move |stream: TcpStream| {
                        let talk = match limits.connection() {
                            Some(place) => {
                                let draining = draining.clone();
                                let stop = Box::pin(async move { draining.notified().await });
                                Ok(Talk::new(stream, place, house.clone(), http.clone(), stop))
                            }
                            None => Err(Box::pin(refuse(stream))),
                        };
                        async move {
                            match talk {
                                Ok(talk) => talk.await,
                                Err(refusal) => Err(refusal.await),
                            }
                        }
                    }))
                }
            })
        })?
        .run();
    Ok(server)
}

/// No room: says so at once, whatever would have been asked.
async fn refuse(mut stream: TcpStream) -> DispatchError {
    static REFUSALS: AtomicUsize = AtomicUsize::new(0);
    if REFUSALS.fetch_add(1, Ordering::Relaxed) < REFUSALS_MAX {
        let told = async {
            stream.write_all(&super::problem::no_room()).await?;
            stream.shutdown().await?;
            // Closed before the request is read, the client might never see the answer.
            let mut rest = (&mut stream).take(REFUSAL_READ_BYTES_MAX as u64);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
        };
        let _ = tokio::time::timeout(DISCONNECT_TIMEOUT, told).await;
    }
    REFUSALS.fetch_sub(1, Ordering::Relaxed);
    DispatchError::Io(io::ErrorKind::ConnectionRefused.into())
}
