# Stand-in of rust:$RUST_VERSION-slim-bookworm. Debian keeps a current compiler in bookworm for its
# browsers (rustc-web); it is laid out where rustup would have put it.
FROM debian:bookworm-slim
RUN --mount=type=tmpfs,target=/var/cache/apt \
    --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends cargo-web gcc libc6-dev rustc-web
ARG RUST_VERSION
ENV RUSTUP_HOME=/usr/local/rustup \
    CARGO_HOME=/usr/local/cargo \
    PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    RUST_VERSION=$RUST_VERSION
RUN mkdir -p "$CARGO_HOME/bin" "$RUSTUP_HOME/toolchains" \
 && ln -s /usr "$RUSTUP_HOME/toolchains/$RUST_VERSION-$(uname -m)-unknown-linux-gnu" \
 && ln -s /usr/bin/cargo /usr/bin/rustc /usr/bin/rustdoc "$CARGO_HOME/bin/" \
 && rustc --version | grep -F "rustc $RUST_VERSION "
CMD ["bash"]
