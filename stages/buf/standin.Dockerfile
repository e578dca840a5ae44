# Stand-in of bufbuild/buf:$BUF_VERSION: the static binary that the npm package @bufbuild/buf carries,
# pinned by package-lock.json. `node` is the stand-in of the Node.js base.
FROM node AS npm
WORKDIR /npm
RUN --mount=type=cache,target=/root/.npm \
    --mount=type=bind,source=package.json,target=package.json \
    --mount=type=bind,source=package-lock.json,target=package-lock.json \
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
ARG BUF_VERSION
RUN cp node_modules/@bufbuild/buf-linux-*/bin/buf /usr/local/bin/buf \
 && chmod 755 /usr/local/bin/buf \
 && test "$(buf --version)" = "$BUF_VERSION"

FROM debian:bookworm-slim
COPY --from=npm /usr/local/bin/buf /usr/local/bin/buf
ENTRYPOINT ["/usr/local/bin/buf"]
