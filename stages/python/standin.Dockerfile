# Stand-in of python:$PYTHON_VERSION-slim-bookworm: Debian's own Python of the same minor version.
# The interpreter finds its prefix from where it lies, so a copy below /usr/local is complete; Debian's
# ensurepip takes pip from a folder of wheels, which moves along.
FROM debian:bookworm-slim
RUN --mount=type=tmpfs,target=/var/cache/apt \
    --mount=type=tmpfs,target=/var/lib/apt/lists \
    apt-get update -qq \
 && apt-get install -qq -y --no-install-recommends python3 python3-distutils python3-venv
ARG PYTHON_VERSION
RUN cp -a "/usr/bin/python$PYTHON_VERSION" /usr/local/bin/ \
 && ln -s "python$PYTHON_VERSION" /usr/local/bin/python3 \
 && ln -s python3 /usr/local/bin/python \
 && cp -aL "/usr/lib/python$PYTHON_VERSION" /usr/local/lib/ \
 && cp -r /usr/share/python-wheels /usr/local/share/ \
 && sed -i "s|'/usr/share/python-wheels|'/usr/local/share/python-wheels|" \
        "/usr/local/lib/python$PYTHON_VERSION"/_sysconfigdata_*.py \
 && python -c 'import sys; assert sys.prefix == "/usr/local", sys.prefix' \
 && python -m venv /tmp/pip \
 && cp -r "/tmp/pip/lib/python$PYTHON_VERSION/site-packages/pip" "/usr/local/lib/python$PYTHON_VERSION/dist-packages/" \
 && sed '1s|.*|#!/usr/local/bin/python|' /tmp/pip/bin/pip > /usr/local/bin/pip \
 && chmod 755 /usr/local/bin/pip \
 && rm -r /tmp/pip \
 && pip --version
CMD ["python3"]
