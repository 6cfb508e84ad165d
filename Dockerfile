# syntax=docker/dockerfile:1
# Piton in a small image: the web UI, then the binary that embeds it, then nothing but that binary.

FROM node:22-bookworm-slim AS web
WORKDIR /src/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY frontend ./
RUN npm run build

FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY prompts prompts
COPY config config
COPY --from=web /src/frontend/dist frontend/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package piton && install --strip target/release/piton /usr/local/bin/piton

FROM debian:bookworm-slim
# TLS to a model provider is checked against the system's certificates.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /var/lib/piton --create-home piton
COPY --from=build /usr/local/bin/piton /usr/local/bin/piton
COPY config /etc/piton/config
COPY prompts /etc/piton/prompts
USER piton
# ./config and ./prompts are read from here; mount your own over them.
WORKDIR /etc/piton
VOLUME /var/lib/piton
ENV PITON_STORE__URL=sqlite:///var/lib/piton/piton.db \
    PITON_SERVER__LISTEN=0.0.0.0:3000
EXPOSE 3000
ENTRYPOINT ["piton"]
# Any address but loopback wants PITON_SERVER__API_KEY: without one, this says so and ends.
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["piton", "ping"]
