//! `kitwright compile --verify` against the frontend of a real engine.
use crate::command::Folder;
use crate::support::{base, engine, registry};

/// Something of everything that decides bytes.
const DOCKERFILE: &str = r#"ARG VERSION=1
FROM --platform=$BUILDPLATFORM BASE AS build
ARG VERSION TARGETARCH
ENV PATH=/opt/bin:$PATH NAME="a b"
WORKDIR /src
COPY --chown=1:2 --exclude=*.md . ./
ADD --chmod=640 https://example.com/tool-${VERSION}.tgz /opt/
RUN --mount=type=cache,target=/cache,sharing=locked,uid=7 \
    --mount=type=secret,id=token,env=TOKEN --mount=type=ssh \
    --mount=from=layout,target=/layout,rw make $VERSION
RUN <<EOT
echo $NAME
EOT
FROM layout
HEALTHCHECK --interval=90s CMD ["true"]
COPY --link --from=build /src/out /out
COPY <<FILE /etc/motd
hello ${HOSTNAME:-nobody}
FILE
EXPOSE 8000-8002/udp
VOLUME /data
LABEL a=b "c d"='e <&>'
USER nobody
ENTRYPOINT ["/out/tool"]
CMD run it
"#;

#[test]
fn the_engine_compiles_to_the_same_bytes() {
    let Some(engine) = engine::shared() else { return };
    let Some(registry) = registry::start() else { return };
    let Some(busybox) = base::busybox() else { return };
    let text = DOCKERFILE.replace("BASE", &busybox.push(&registry, "busybox", "1"));
    let folder = Folder::with(&[("Dockerfile", &text), (".dockerignore", "*.log\n!keep.log\n")]);
    let layout = format!("layout=oci-layout://{}:latest", busybox.layout.display());
    let verify = |more: &[&str]| {
        let args =
            ["compile", "--verify", "--builder", &engine.address, "--build-context", &layout];
        folder.run(&[&args, more].concat())
    };
    for more in [
        &[][..],
        &["--platform", "linux/amd64,linux/arm64", "--build-arg", "VERSION=2"],
        &["--target", "build", "--no-cache-filter", "build", "--add-host", "one:10.0.0.1"],
        &["--label", "x=y", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--network", "none"],
        &[
            "--shm-size",
            "64m",
            "--ulimit",
            "nofile=1024:2048",
            "--build-arg",
            "http_proxy=http://p",
        ],
    ] {
        let run = verify(more);
        assert!(run.stderr.contains("equal to the engine's `dockerfile.v0`"), "{}", run.stderr);
        assert!(run.ok().lines().count() > 5, "{more:?}");
    }
    folder.write("Dockerfile", "FROM scratch\nCOPY --from=later a b\n");
    assert!(verify(&[]).fails_with(3).contains("later"));
}
