# syntax=docker/dockerfile:1
FROM rust:1-slim-bookworm AS build
WORKDIR /src

# Dependencies first, against an empty crate: they are built again only when the lock file changes.
COPY Cargo.toml Cargo.lock ./
# Cargo.toml names the programs of the benchmark.
COPY bench bench
RUN mkdir -p src tests \
    && touch src/lib.rs tests/suite.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release --locked \
    && rm -rf src tests

COPY src src
COPY config config
# The empty crate's files may be newer than the real ones.
RUN mkdir -p tests \
    && touch tests/suite.rs src/lib.rs src/main.rs \
    && cargo build --release --locked --bin pannier

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin pannier
COPY --from=build /src/target/release/pannier /usr/local/bin/pannier
USER 10001
EXPOSE 8080 9180
# The admin interface listens on the container's loopback unless the config says otherwise; for a
# scraper outside, set [listen] admin = "0.0.0.0:9180" and keep the port off the public network.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["pannier", "healthcheck"]
ENTRYPOINT ["pannier"]
CMD ["run", "--config", "/etc/pannier/pannier.toml"]
