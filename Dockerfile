# syntax=docker/dockerfile:1
# One binary on a small Debian. It writes to /data only, so the rest may be read-only:
#   docker run --read-only --tmpfs /tmp -v groundswell:/data -p 8080:8080 groundswell

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
# The caches live outside the image; the binary has to leave them in the same step. Such mounts are BuildKit's: an engine older than 23 needs
# DOCKER_BUILDKIT=1.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin groundswell \
    && install -D -m 0755 target/release/groundswell /out/usr/local/bin/groundswell \
    # A quarter of the size; a backtrace keeps its names.
    && strip -g /out/usr/local/bin/groundswell \
    && install -D -m 0644 -t /out/usr/share/doc/groundswell LICENSE-MIT LICENSE-APACHE \
    && install -d -m 0750 /out/data

FROM debian:bookworm-slim
# A number, so that an orchestrator can see that it is not root.
COPY --from=build /out/usr /usr
COPY --from=build --chown=10001:10001 /out/data /data
USER 10001:10001
WORKDIR /
ENV HOST=0.0.0.0 PORT=8080 METRICS_HOST=0.0.0.0 METRICS_PORT=9090 DATA_DIR=/data
# The embedded database, or the votes a web process keeps while the broker is away: keep it on a disk that stays.
VOLUME /data
EXPOSE 8080 9090
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 CMD ["groundswell", "healthcheck"]
ENTRYPOINT ["groundswell"]
CMD ["serve"]
