import http.client
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from strax_core.testing import End, Fate, HttpProxy, LinkFault, Proxy, Way, s3_error

HANGS_S = 600


class Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(ConnectionResetError):
            while data := self.request.recv(1 << 16):
                self.request.sendall(data)


class Store(BaseHTTPRequestHandler):
    """Keeps what was PUT, in order; GET answers the last."""

    protocol_version = "HTTP/1.1"
    kept: list[bytes]

    def do_PUT(self) -> None:
        self.kept.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(self.kept[-1])

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        if self.path.endswith("/last"):
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def serving(server: socketserver.TCPServer) -> Iterator[tuple[str, int]]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield "127.0.0.1", server.socket.getsockname()[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    yield from serving(server)


@pytest.fixture
def store() -> Iterator[tuple[str, int]]:
    Store.kept = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Store)
    server.daemon_threads = True
    yield from serving(server)


@pytest.fixture
def proxy(echo: tuple[str, int]) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


@pytest.fixture
def http_proxy(store: tuple[str, int]) -> Iterator[HttpProxy]:
    with HttpProxy(store) as proxy:
        yield proxy


def connected(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=HANGS_S)


def received(client: socket.socket, n_bytes: int) -> bytes:
    data = b""
    while len(data) < n_bytes and (more := client.recv(1 << 16)):
        data += more
    return data


def put(proxy: Proxy, body: bytes, *, timeout_s: float = HANGS_S) -> int:
    client = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout_s)
    try:
        client.request("PUT", "/key?x=1", body)
        return client.getresponse().status
    finally:
        client.close()


def test_bytes_pass_both_ways_and_are_counted(proxy: Proxy) -> None:
    data = bytes(range(256)) * 8000
    with connected(proxy) as client:
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert received(client, len(data)) == data
        sender.join()
        client.shutdown(socket.SHUT_WR)
        assert client.recv(1) == b""

    assert proxy.n_connections == 1
    assert proxy.n_bytes == dict.fromkeys(Way, len(data))


def test_latency_is_waited_for_in_each_direction(proxy: Proxy) -> None:
    proxy.latency_s = 0.05
    with connected(proxy) as client:
        began = time.monotonic()
        client.sendall(b"x")
        assert client.recv(1) == b"x"

        assert time.monotonic() - began >= 0.1


def test_a_limited_rate_takes_its_time(proxy: Proxy) -> None:
    proxy.rate_bytes_s = 1e6
    with connected(proxy) as client:
        began = time.monotonic()
        client.sendall(bytes(50_000))
        assert len(received(client, 50_000)) == 50_000

        assert time.monotonic() - began >= 0.05


@pytest.mark.parametrize("way", Way)
def test_a_connection_breaks_after_so_many_bytes(proxy: Proxy, way: Way) -> None:
    with connected(proxy) as client:
        client.sendall(b"before")
        assert received(client, 6) == b"before"
        proxy.fault = LinkFault(way=way, after_bytes=3, end=End.CLOSE)
        client.sendall(b"0123456789")
        # What reached the server before the break may be answered, or not any more.
        assert received(client, 10) in ({b"012"} if way is Way.TO_CLIENT else {b"", b"012"})

    assert proxy.n_hit == 1
    with connected(proxy) as client:  # once only
        client.sendall(b"0123456789")
        assert received(client, 10) == b"0123456789"


def test_a_reset_is_an_error_of_the_connection(proxy: Proxy) -> None:
    proxy.fault = LinkFault(way=Way.TO_CLIENT)
    with connected(proxy) as client:
        client.sendall(b"x")
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with connected(proxy) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    proxy.refuses = True
    with pytest.raises(ConnectionResetError), connected(proxy) as client:  # perhaps at once
        client.recv(1)


def test_silence_and_a_black_hole_answer_nothing(proxy: Proxy) -> None:
    proxy.fault = LinkFault(way=Way.TO_CLIENT, end=End.SILENCE)
    with connected(proxy) as client:
        client.settimeout(0.05)
        client.sendall(b"x")
        with pytest.raises(TimeoutError):
            client.recv(1)
    proxy.is_black_hole = True
    with connected(proxy) as client:
        client.settimeout(0.05)
        client.sendall(b"x")
        with pytest.raises(TimeoutError):
            client.recv(1)
        proxy.is_black_hole = False
        client.settimeout(HANGS_S)
        assert client.recv(1) == b"x"


def test_a_black_hole_may_open_in_the_middle_and_swallows_all_connections(proxy: Proxy) -> None:
    with connected(proxy) as other, connected(proxy) as client:
        proxy.fault = LinkFault(way=Way.TO_CLIENT, after_bytes=2, end=End.BLACK_HOLE)
        client.sendall(b"abc")
        assert client.recv(2, socket.MSG_WAITALL) == b"ab"
        for each in (client, other):
            each.settimeout(0.05)
            each.sendall(b"x")
            with pytest.raises(TimeoutError):
                each.recv(1)
        assert proxy.n_hit == 1
        proxy.fault = None
        proxy.is_black_hole = False
        other.settimeout(HANGS_S)
        assert other.recv(1) == b"x"


def test_nothing_is_left_when_it_ends(echo: tuple[str, int]) -> None:
    before = threading.active_count()
    with Proxy(echo) as proxy:
        client = connected(proxy)
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    client.close()
    proxy.close()

    assert [each.name for each in threading.enumerate() if each.name == "proxy"] == []
    assert threading.active_count() <= before + 1  # the echo's own may not have ended yet


def test_requests_are_counted_by_method_and_target(http_proxy: HttpProxy) -> None:
    client = http.client.HTTPConnection("127.0.0.1", http_proxy.port)
    for _ in range(2):
        client.request("PUT", "/key?x=1", b"body")
        assert client.getresponse().read() == b""
    client.request("GET", "/other")
    assert client.getresponse().read() == b"body"
    client.close()

    seen = [(one.number, one.method, one.target, one.status) for one in http_proxy.requests]
    assert seen == [
        (0, "PUT", "/key?x=1", 200),
        (1, "PUT", "/key?x=1", 200),
        (2, "GET", "/other", 200),
    ]
    assert http_proxy.n_connections == 1


def test_an_answer_that_ends_its_connection_comes_whole(http_proxy: HttpProxy) -> None:
    body = bytes(range(256)) * 20_000
    assert put(http_proxy, body) == 200
    for _ in range(5):
        client = http.client.HTTPConnection("127.0.0.1", http_proxy.port)
        client.request("GET", "/last")
        assert client.getresponse().read() == body
        client.close()


def test_a_lost_answer_is_done_and_a_refused_request_is_not(http_proxy: HttpProxy) -> None:
    for fate, kept in ((Fate(), [b"a"]), (Fate(reaches_server=False), [])):
        Store.kept.clear()
        http_proxy.decide = lambda _, fate=fate: fate
        with pytest.raises(ConnectionResetError):
            put(http_proxy, b"a")
        assert kept == Store.kept


def test_a_late_request_is_done_after_the_client_has_gone(http_proxy: HttpProxy) -> None:
    late, done = threading.Event(), threading.Event()
    http_proxy.decide = lambda _: Fate(late=late, end=End.SILENCE, do=done.set)
    with pytest.raises(TimeoutError):
        put(http_proxy, b"late", timeout_s=0.05)
    assert Store.kept == []
    late.set()
    assert done.wait(HANGS_S)

    assert Store.kept == [b"late"]


def test_the_proxy_can_answer_itself_and_tell_when_the_server_has_answered(
    http_proxy: HttpProxy,
) -> None:
    http_proxy.decide = lambda _: Fate(reaches_server=False, answer=s3_error(503, "SlowDown"))
    assert put(http_proxy, b"never") == 503
    assert Store.kept == []
    http_proxy.decide = lambda _: Fate(
        answer=s3_error(500, "Odd"), do=lambda: Store.kept.append(b"!")
    )
    assert put(http_proxy, b"done") == 500

    assert Store.kept == [b"done", b"!"]


def test_the_body_of_an_answer_breaks_off_or_falls_silent(http_proxy: HttpProxy) -> None:
    assert put(http_proxy, b"0123456789") == 200
    for end, error in ((End.RESET, ConnectionResetError), (End.SILENCE, TimeoutError)):
        http_proxy.decide = lambda _, end=end: Fate(n_answer_bytes=4, end=end)
        client = http.client.HTTPConnection("127.0.0.1", http_proxy.port, timeout=HANGS_S)
        client.connect()
        line = client.sock
        client.request("GET", "/key")
        answer = client.getresponse()
        if end is End.SILENCE:
            line.settimeout(0.05)
        with pytest.raises(error):
            answer.read(10)
        client.close()
