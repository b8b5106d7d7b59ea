"""Local servers that stand for remote stores: HTTP with and without ranges, and S3."""

import contextlib
import http.server
import threading
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from omnicli.streams.files import remote
from omnicli.streams.files.urls import allow_typed


class Server:
    """An HTTP server of a folder.

    Attributes:
        url: of the folder, without a slash at its end.
        requests: (method, path, range or None) of each request.
        failures: path → status codes that the next requests of it get instead of the file.
        redirects: path → where it is redirected to.
        num_bytes: sent in bodies.
    """

    def __init__(self, folder: Path, *, ranges: bool = True) -> None:
        self.requests: list[tuple[str, str, str | None]] = []
        self.failures: dict[str, list[int]] = {}
        self.redirects: dict[str, str] = {}
        self.num_bytes = 0
        self.ranges = ranges
        self.lock = threading.Lock()
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self, folder))
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def count(self) -> Counter[str]:
        """Requests by path."""
        return Counter(path for _, path, _ in self.requests)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, server: Server, folder: Path, *args: object) -> None:
        self.owner = server
        super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

    def log_message(self, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        with self.owner.lock:
            self.owner.requests.append((self.command, self.path, self.headers.get("Range")))
            failures = self.owner.failures.get(self.path, [])
            code = failures.pop(0) if failures and with_body else 0
        path = Path(self.translate_path(self.path))
        if code:
            self._send(code, b"", {})
        elif self.path in self.owner.redirects:
            self._send(302, b"", {"Location": self.owner.redirects[self.path]})
        elif not path.is_file():
            self._send(404, b"", {})
        else:
            self._send_file(path.read_bytes(), with_body)

    def _send_file(self, content: bytes, with_body: bool) -> None:
        wanted = self.headers.get("Range")
        if not (self.owner.ranges and wanted):
            self._send(200, content, {"Accept-Ranges": "bytes"} if self.owner.ranges else {}, with_body)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last) + 1 if last else len(content), len(content))
        if start >= len(content):
            self._send(416, b"", {})
        else:
            self._send(206, content[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(content)}"})

    def _send(self, code: int, body: bytes, headers: dict[str, str], with_body: bool = True) -> None:
        self.send_response(code)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        if with_body:
            self.owner.num_bytes += len(body)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.wfile.write(body)


@contextlib.contextmanager
def serve(folder: Path, *, ranges: bool = True) -> Iterator[Server]:
    """An HTTP server of the folder during the block."""
    server = Server(folder, ranges=ranges)
    try:
        yield server
    finally:
        server.close()


@contextlib.contextmanager
def serve_file(folder: Path, content: bytes, *, ranges: bool) -> Iterator[Server]:
    """An HTTP server with one file, ``a``, whose traffic is counted from now on."""
    (folder / "a").write_bytes(content)
    with serve(folder, ranges=ranges) as server:
        allow_typed([server.url])
        remote.traffic.take()
        yield server
    allow_typed([])


class Store:
    """A local server of S3 with one bucket.

    Attributes:
        url: of the bucket.
        environment: with which a process finds the server.
    """

    def __init__(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(port=0, verbose=False)
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s",
            "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        import boto3

        self.client = boto3.client("s3", endpoint_url=self.environment["AWS_ENDPOINT_URL"], aws_access_key_id="k",
                                   aws_secret_access_key="s", region_name="us-east-1")  # fmt: skip
        self.client.create_bucket(Bucket="crawl")
        self.url = "s3://crawl"

    def put(self, folder: Path) -> None:
        """Upload the files below a folder."""
        for path in folder.rglob("*"):
            if path.is_file():
                self.client.upload_file(str(path), "crawl", path.relative_to(folder).as_posix())

    def get(self) -> dict[str, bytes]:
        """All files by key."""
        keys = [entry["Key"] for entry in self.client.list_objects_v2(Bucket="crawl").get("Contents", [])]
        return {key: self.client.get_object(Bucket="crawl", Key=key)["Body"].read() for key in keys}

    def close(self) -> None:
        self._server.stop()
