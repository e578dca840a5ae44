# The image in which this repository's code is generated and checked.
#
# One stage for each ecosystem, all independent of each other, so that they build at the same time; the
# last stage only assembles them. A version stands in the one place that uses it, and a tool in the list
# of its own stage (`stages/<name>/`): bumping either reruns that stage and nothing beside it.
# Toolchains are copied from the official images as they are, not from the stages that install tools with
# them: else a bumped tool has the engine read the toolchain again, to see that it is the same.
# These versions are global, so they reach no RUN's environment and no step's key but through FROM.
#
# A lock file or an exact version says what a tool is: what a cache mount has of it is taken without
# asking a server whether there is anything newer.
ARG GO_VERSION=1.26.11
ARG NODE_VERSION=24.19.0
ARG PYTHON_VERSION=3.11
ARG BUF_VERSION=1.75.0
ARG RUST_VERSION=1.96.0

FROM golang:${GO_VERSION}-bookworm AS go-toolchain
FROM go-toolchain AS go
WORKDIR /src
RUN --mount=type=bind,source=stages/go/go.mod,target=go.mod \
    --mount=type=bind,source=stages/go/go.sum,target=go.sum \
    --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOBIN=/out/bin go install -trimpath -ldflags='-s -w' tool

FROM node:${NODE_VERSION}-bookworm-slim AS node-toolchain
FROM node-toolchain AS node
WORKDIR /opt/node
RUN --mount=type=bind,source=stages/node/package.json,target=package.json \
    --mount=type=bind,source=stages/node/package-lock.json,target=package-lock.json \
    --mount=type=cache,target=/root/.npm \
    npm ci --prefer-offline --ignore-scripts --no-audit --no-fund --no-update-notifier

FROM python:${PYTHON_VERSION}-slim-bookworm AS python-toolchain
FROM python-toolchain AS python
RUN --mount=type=bind,source=stages/python/requirements.lock,target=/requirements.lock \
    --mount=type=cache,target=/wheels \
    python -m venv /opt/python \
 && locked() { /opt/python/bin/pip --disable-pip-version-check "$@" --require-hashes --only-binary :all: -r /requirements.lock; } \
 && { locked install --no-index --find-links /wheels \
   || { echo "not all wheels are kept: downloading" && locked download --no-cache-dir -d /wheels \
     && locked install --no-index --find-links /wheels; }; }

FROM bufbuild/buf:${BUF_VERSION} AS buf

# Unoptimised: these tools run for a second at a time, and optimising them takes three times as long.
FROM rust:${RUST_VERSION}-slim-bookworm AS rust
RUN --mount=type=bind,source=stages/rust/tools.txt,target=/tools.txt \
    --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/target \
    export CARGO_TARGET_DIR=/target CARGO_PROFILE_DEV_DEBUG=false \
 && install() { cargo install --debug --locked --no-track --root /out "$@" $(cat /tools.txt); } \
 && { install --offline || { echo "not all crates are kept: asking the index" && install --force; }; }

FROM debian:bookworm-slim AS debian
RUN rm -f /etc/apt/apt.conf.d/docker-clean \
 && echo 'Binary::apt::APT::Keep-Downloaded-Packages "true";' > /etc/apt/apt.conf.d/keep-archives
RUN --mount=type=bind,source=stages/debian/packages.txt,target=/packages.txt \
    --mount=type=cache,target=/var/cache/apt,sharing=locked \
    --mount=type=cache,target=/var/lib/apt,sharing=locked \
    apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive xargs -a /packages.txt apt-get install -qq -y --no-install-recommends

FROM debian
WORKDIR /work
COPY --link --from=go-toolchain /usr/local/go/ /usr/local/go/
COPY --link --from=go /out/bin/ /usr/local/bin/
COPY --link --from=node-toolchain /usr/local/bin/ /usr/local/bin/
COPY --link --from=node-toolchain /usr/local/lib/node_modules/ /usr/local/lib/node_modules/
COPY --link --from=node /opt/node/ /opt/node/
COPY --link --from=python-toolchain /usr/local/ /usr/local/
COPY --link --from=python /opt/python/ /opt/python/
COPY --link --from=buf /usr/local/bin/buf /usr/local/bin/buf
COPY --link --from=rust /out/bin/ /usr/local/bin/
ENV PATH=/opt/node/node_modules/.bin:/opt/python/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    GOTOOLCHAIN=local
RUN --mount=type=bind,source=stages/versions,target=/versions \
    ldconfig && /versions
CMD ["bash"]
