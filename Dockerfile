# syntax=docker/dockerfile:1
# Piton in a small image: the web UI, then the binary that embeds it, then nothing but that binary, its certificates and libc.
#
#   docker buildx build --platform linux/amd64,linux/arm64 --tag piton .
#
# For the same image twice, name the base images by digest: --build-arg RUST=rust@sha256:… and so on. What is built in them is
# locked (Cargo.lock, package-lock.json), and bears no date and no path.
ARG NODE=node:22-bookworm-slim
ARG RUST=rust:1.95-slim-bookworm
ARG BASE=gcr.io/distroless/cc-debian12:nonroot

# The same files for every platform, so made once, on the builder's own.
FROM --platform=$BUILDPLATFORM ${NODE} AS web
WORKDIR /src/frontend
COPY frontend/package.json frontend/package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY frontend ./
RUN npm run build

FROM ${RUST} AS build
ARG TARGETARCH
WORKDIR /src
ENV SOURCE_DATE_EPOCH=0 \
    CARGO_INCREMENTAL=0 \
    RUSTFLAGS="--remap-path-prefix=/src=. --remap-path-prefix=/usr/local/cargo=cargo"
COPY Cargo.toml Cargo.lock ./
COPY crates crates
COPY prompts prompts
COPY config config
COPY --from=web /src/frontend/dist frontend/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,id=target-${TARGETARCH},target=/src/target \
    cargo build --release --locked --package piton --bin piton \
    && install --strip target/release/piton /usr/local/bin/piton \
    && mkdir /var/lib/piton

# It has the system's certificates, by which TLS to a model provider is checked, and no shell.
FROM ${BASE}
COPY --from=build /usr/local/bin/piton /usr/local/bin/piton
COPY --from=build --chown=65532:65532 /var/lib/piton /var/lib/piton
COPY config /etc/piton/config
COPY prompts /etc/piton/prompts
USER 65532:65532
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
