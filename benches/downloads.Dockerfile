# gen.Dockerfile as it would be without official images to copy toolchains from: each is downloaded and
# installed in a stage made of Debian, and its tools after it. Only `kitwright bench` builds this.
ARG RUST_VERSION=1.96.0
ARG BUF_VERSION=1.75.0

FROM debian:bookworm-slim AS base
RUN rm -f /etc/apt/apt.conf.d/docker-clean

FROM base AS go
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends golang-go ca-certificates
WORKDIR /src
# Debian's Go is older: it downloads the version that go.mod asks for, as a module.
RUN --mount=type=bind,source=stages/go/go.mod,target=go.mod \
    --mount=type=bind,source=stages/go/go.sum,target=go.sum \
    CGO_ENABLED=0 GOBIN=/out/bin go install -trimpath -ldflags='-s -w' tool

FROM base AS node
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends nodejs npm ca-certificates
WORKDIR /opt/node
RUN --mount=type=bind,source=stages/node/package.json,target=package.json \
    --mount=type=bind,source=stages/node/package-lock.json,target=package-lock.json \
    npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier

FROM base AS python
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends python3 python3-venv ca-certificates
RUN --mount=type=bind,source=stages/python/requirements.lock,target=/requirements.lock \
    python3 -m venv /opt/python \
 && /opt/python/bin/pip install --require-hashes --only-binary :all: --disable-pip-version-check -r /requirements.lock

FROM bufbuild/buf:${BUF_VERSION} AS buf

FROM rust:${RUST_VERSION}-slim-bookworm AS rust
RUN --mount=type=bind,source=stages/rust/tools.txt,target=/tools.txt \
    CARGO_TARGET_DIR=/target CARGO_PROFILE_DEV_DEBUG=false \
    cargo install --debug --locked --no-track --root /out $(cat /tools.txt)

FROM base AS debian
RUN --mount=type=bind,source=stages/debian/packages.txt,target=/packages.txt \
    apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive xargs -a /packages.txt apt-get install -qq -y --no-install-recommends \
    golang-go nodejs npm python3

FROM debian
COPY --link --from=go /out/bin/ /usr/local/bin/
COPY --link --from=node /opt/node/ /opt/node/
COPY --link --from=python /opt/python/ /opt/python/
COPY --link --from=buf /usr/local/bin/buf /usr/local/bin/buf
COPY --link --from=rust /out/bin/ /usr/local/bin/
CMD ["bash"]
