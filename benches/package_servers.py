"""An HTTP proxy between package managers and their servers, which counts what the servers send.

It passes TLS through as it is (`Proxy()`), or ends it with a CA of its own (`Proxy(folder)`), which tells the
bytes of each request. Then it can also stand in for servers that validate (`validates`): it
gives an `ETag` and a `Cache-Control` to each answer that lacks one, and answers `If-None-Match` itself.
"""
import hashlib
import http.client
import http.server
import pathlib
import re
import select
import socket
import ssl
import subprocess
import threading
import urllib.parse

# What is between two neighbours alone, and no part of a message.
HOP = {"connection", "proxy-connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"}
# How package managers begin the name that they give themselves.
TOOLS = {"debian apt": "apt", "go": "go", "cargo": "cargo", "npm": "npm", "node": "npm", "pip": "pip"}


class Proxy:
    """A running proxy on loopback."""

    def __init__(self, folder=None, validates=False):
        self.validates, self.lock = validates, threading.Lock()
        # By package manager and host.
        self.bytes, self.requests = {}, []
        self.authority = Authority(folder) if folder else None
        handler = type("Bound", (Handler,), {"proxy": self})
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def count(self, tool, host, sent, request=None):
        """Notes bytes that `host` has sent to `tool`, all of them for `request` where that is known."""
        with self.lock:
            self.bytes[tool, host] = self.bytes.get((tool, host), 0) + sent
            if request:
                self.requests.append((tool, *request, sent))

    def take(self):
        """The bytes by tool and host, and the requests, since the last call."""
        with self.lock:
            taken = self.bytes, self.requests
            self.bytes, self.requests = {}, []
            return taken


class Authority:
    """A CA for certificates of any host, kept in a folder."""

    def __init__(self, folder):
        self.folder, self.lock, self.contexts = pathlib.Path(folder), threading.Lock(), {}
        self.ca, self.key = self.folder / "ca.pem", self.folder / "key.pem"
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                     "-subj", "/CN=package-bytes", "-keyout", self.key, "-out", self.ca)

    @staticmethod
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    def context(self, host):
        """What a server of `host` needs to speak TLS."""
        with self.lock:
            if host not in self.contexts:
                request, cert, names = (self.folder / f"{host}.{kind}" for kind in ("csr", "crt", "ext"))
                names.write_text(f"subjectAltName=DNS:{host}\n")
                self.openssl("req", "-new", "-key", self.key, "-subj", f"/O={host[:60]}", "-out", request)
                self.openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-days", "2",
                             "-extfile", names, "-out", cert)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(cert, self.key)
                self.contexts[host] = context
            return self.contexts[host]


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a package manager."""

    protocol_version = "HTTP/1.1"
    proxy = None
    # The host behind a connection whose TLS is ended here, and the connection to it.
    origin, upstream = None, None

    def log_message(self, *_):
        """Says nothing: the builds' logs tell enough."""

    def tool(self):
        """The package manager that asks, if it says."""
        agent = self.headers.get("User-Agent", "").lower()
        return next((tool for start, tool in TOOLS.items() if agent.startswith(start)), "unnamed")

    def do_CONNECT(self):
        host, port = self.path.rsplit(":", 1)
        if not self.proxy.authority:
            return self.tunnel(host, int(port))
        self.send_response_only(200)
        self.end_headers()
        try:
            self.connection = self.proxy.authority.context(host).wrap_socket(self.connection, server_side=True)
        except OSError:
            self.close_connection = True
            return
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", buffering=0)
        self.origin, self.close_connection = (host, int(port)), False

    def tunnel(self, host, port):
        """Passes bytes both ways until one side ends."""
        self.close_connection = True
        try:
            server = socket.create_connection((host, port), 30)
        except OSError:
            return self.send_error(502)
        self.send_response_only(200)
        self.end_headers()
        other = {server: self.connection, self.connection: server}
        try:
            while other:
                for side in select.select(list(other), [], [])[0]:
                    data = side.recv(1 << 16)
                    if not data:
                        return
                    if side is server:
                        self.proxy.count(self.tool(), host, len(data))
                    other[side].sendall(data)
        except OSError:
            pass
        finally:
            server.close()

    def ask(self, scheme, host, port, path, body):
        """One request to the server, and its whole answer."""
        kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
        for attempt in range(2):
            # An old connection may have been closed meanwhile.
            fresh = self.upstream is None or self.upstream[0] != (scheme, host, port)
            if fresh:
                self.upstream = (scheme, host, port), kind(host, port, timeout=300)
            try:
                self.upstream[1].request(self.command, path, body, headers)
                answer = self.upstream[1].getresponse()
                return answer, answer.read()
            except (OSError, http.client.HTTPException):
                self.upstream = None
                if fresh or attempt:
                    raise

    def forward(self):
        if self.origin:
            (host, port), scheme, path = self.origin, "https", self.path
        else:
            url = urllib.parse.urlsplit(self.path)
            host, port, scheme = url.hostname, url.port or 80, "http"
            path = urllib.parse.urlunsplit(("", "", url.path or "/", url.query, ""))
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else None
        try:
            answer, content = self.ask(scheme, host, port, path, body)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return self.send_error(502)
        status, headers = answer.status, [(n, v) for n, v in answer.getheaders() if n.lower() not in HOP]
        if self.proxy.validates and self.command == "GET" and status == 200:
            status, headers, content = self.validate(headers, content)
        head = f"HTTP/1.1 {status} {answer.reason}\r\n".encode()
        if self.command != "HEAD" and status not in (204, 304):
            headers = [pair for pair in headers if pair[0].lower() != "content-length"]
            headers.append(("Content-Length", str(len(content))))
        head += b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in headers) + b"\r\n"
        self.proxy.count(self.tool(), host, len(head) + len(content), (self.command, path, status))
        self.wfile.write(head + content)

    do_GET = do_HEAD = do_POST = do_PUT = forward

    def validate(self, headers, content):
        """What the official server would answer: validators, and nothing that the client has."""
        names = {name.lower(): value for name, value in headers}
        tag = names.get("etag") or f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        if "etag" not in names:
            headers.append(("ETag", tag))
        if "cache-control" not in names:
            headers.append(("Cache-Control", "max-age=600"))
        known = re.split(r",\s*", self.headers.get("If-None-Match", ""))
        if tag in known or f"W/{tag}" in known:
            kept = {"etag", "cache-control", "date", "vary", "last-modified"}
            return 304, [pair for pair in headers if pair[0].lower() in kept], b""
        return 200, headers, content
