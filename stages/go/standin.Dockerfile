# Stand-in of golang:$GO_VERSION-bookworm. The toolchain is the module golang.org/toolchain, which the
# Go command downloads and checks against the checksum database; module files have no executable bit.
FROM debian:bookworm-slim
ARG GO_VERSION
RUN --mount=type=bind,from=toolchain,target=/toolchain \
    cp -r /toolchain /usr/local/go \
 && chmod -R u+w,go=u,go-w /usr/local/go \
 && find /usr/local/go/bin /usr/local/go/pkg/tool -type f -exec chmod 755 {} + \
 && mkdir -p -m 1777 /go/src /go/bin \
 && test "$(/usr/local/go/bin/go env GOVERSION)" = "go$GO_VERSION"
ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    GOLANG_VERSION=$GO_VERSION \
    GOTOOLCHAIN=local \
    GOPATH=/go
WORKDIR /go
CMD ["bash"]
