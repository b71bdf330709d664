//! The other side: what actix-web does by itself.

use std::time::Duration;

use actix_web::web::{Bytes, Data};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use groundswell::http::{Asset, assets};
use tokio::sync::watch;

/// What ratios are taken against: a stream as the documentation of actix-web has it, and a GET of bytes that are there.
pub fn plain_server() {
    struct Plain {
        frames: watch::Sender<(u64, Bytes)>,
        same: watch::Sender<Bytes>,
    }
    fn frame(id: u64) -> (u64, Bytes) {
        // As long as the document of an event with one poll.
        (id, format!("event: live\nid: {id}\ndata: {}\n\n", "x".repeat(900)).into())
    }
    async fn stream(plain: Data<Plain>) -> HttpResponse {
        let mut frames = plain.frames.subscribe();
        frames.mark_changed();
        HttpResponse::Ok().insert_header(("content-type", "text/event-stream")).streaming(futures_util::stream::unfold(frames, |mut frames| async move {
            tokio::select! {
                changed = frames.changed() => changed.ok()?,
                () = tokio::time::sleep(Duration::from_secs(15)) => {}
            }
            let bytes = frames.borrow_and_update().1.clone();
            Some((Ok::<_, std::convert::Infallible>(bytes), frames))
        }))
    }
    async fn change(plain: Data<Plain>) -> String {
        let id = plain.frames.borrow().0 + 1;
        plain.frames.send_replace(frame(id));
        id.to_string()
    }
    async fn set_same(plain: Data<Plain>, body: Bytes) -> HttpResponse {
        plain.same.send_replace(body);
        HttpResponse::NoContent().finish()
    }
    async fn same(request: HttpRequest, plain: Data<Plain>) -> HttpResponse {
        if request.headers().contains_key("if-none-match") {
            return HttpResponse::NotModified().finish();
        }
        HttpResponse::Ok().insert_header(("content-type", "application/json")).body(plain.same.borrow().clone())
    }
    async fn file(request: HttpRequest) -> HttpResponse {
        if request.headers().contains_key("if-none-match") {
            return HttpResponse::NotModified().finish();
        }
        HttpResponse::Ok().insert_header(("content-type", "text/javascript")).body(Bytes::from_static(script().brotli))
    }
    actix_web::rt::System::new().block_on(async {
        use actix_web::web::{get, post};
        let plain = Data::new(Plain { frames: watch::Sender::new(frame(1)), same: watch::Sender::new(Bytes::new()) });
        let server = HttpServer::new(move || {
            App::new()
                .app_data(plain.clone())
                .route("/same", get().to(same))
                .route("/same", post().to(set_same))
                .route("/file", get().to(file))
                .route("/stream", get().to(stream))
                .route("/change", post().to(change))
        })
        .workers(std::thread::available_parallelism().map_or(2, usize::from))
        .max_connections(100_000)
        .bind(("127.0.0.1", 0))
        .expect("a free port");
        println!("  join    http://{}/", server.addrs()[0]);
        server.run().await.expect("the server runs");
    });
}

pub fn script() -> &'static Asset {
    let is_it = |asset: &&Asset| asset.url.starts_with("/assets/vote/vote.") && asset.url.ends_with(".js");
    assets().iter().find(is_it).expect("the audience app has a script")
}
