"""What is no good HTTP, sent to a real process: the answer of the parser is told as any other error."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiohttp.test_utils import unused_port

from api.problems import PROBLEMS
from tests.api.house import settings_of
from tests.api.test_api_server import process, wait_until_listening
from tests.input.wire import check, exchange

H = b" HTTP/1.1\r\nHost: x\r\n"
WEBHOOK, CHUNKED, LAST = (
    b"POST /api/webhooks/stripe" + H,
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n\r\n",
)

SENT: list[tuple[bytes, int | None, str | None]] = [
    (b"BREW /api/tickets" + H + b"\r\n", 400, "bad_request"),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "bad_request"),
    (b"GET /api/tickets HTTP/3.7\r\nHost: x\r\n\r\n", 400, "bad_request"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "bad_request"),
    (b"GET /api/tickets HTTP/1.1\r\n\r\n", 400, "bad_request"),
    (b"GET /api/tickets" + H + b"Host: y\r\n\r\n", 400, "bad_request"),
    (b"GET /api/tickets" + H + b"X: a\x00b\r\n\r\n", 400, "bad_request"),
    (b"GET /" + b"a" * 9_000 + H + b"\r\n", 414, "uri_too_long"),
    (b"GET /" + H + b"X: " + b"a" * 9_000 + b"\r\n\r\n", 431, "headers_too_large"),
    (b"GET /" + H + b"".join(b"X-%d: 1\r\n" % n for n in range(70)) + b"\r\n", 431, "headers_too_large"),
    (WEBHOOK + b"Content-Length: x\r\n\r\n", 400, "bad_request"),
    (WEBHOOK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, "bad_request"),
    (WEBHOOK + CHUNKED + b"Content-Length: 2\r\n\r\n{}", 400, "bad_request"),
    (WEBHOOK + CHUNKED + b"\r\nzz\r\n", 400, "bad_request"),
    (WEBHOOK + b"Transfer-Encoding: gzip, chunked\r\n" + LAST + b"0\r\n\r\n", 400, None),
    (WEBHOOK + b"Content-Length: 70000\r\n\r\n", 413, "body_too_large"),
    (WEBHOOK + b"Expect: magic\r\nContent-Length: 2\r\n" + LAST + b"{}", 417, "expectation_failed"),
    (b"GET /api/nothing" + H + b"Expect: magic\r\n" + LAST, 417, "expectation_failed"),
    (b"CONNECT example.org:443" + H + LAST, None, None),
    (b"GET http://x:99999999/" + H + LAST, None, None),
    (b"GET //evil/%2e%2e" + H + LAST, 404, "not_found"),
    (b"GET /%00" + H + LAST, 404, "not_found"),
    (b"GET /%ff%fe" + H + LAST, 404, "not_found"),
    (b"OPTIONS *" + H + LAST, 404, "not_found"),
    (b"GET /healthz" + H + b"Upgrade: websocket\r\nConnection: Upgrade, close\r\n\r\n", 200, None),
]


async def test_what_the_parser_refuses_is_told_the_same_way(database_url: str, tmp_path: Path) -> None:
    settings = settings_of(database_url, tmp_path, port=unused_port(), stripe_api_base="http://127.0.0.1:1")
    with process(settings) as child:
        wait_until_listening(settings.port, child)
        answers = await asyncio.gather(*(exchange(settings.port, sent) for sent, _, _ in SENT))
        for (sent, status, code), answer in zip(SENT, answers, strict=True):
            check(answer, sent[:80])
            assert status in (None, answer.status), (sent[:80], answer)
            assert code in (None, answer.code), (sent[:80], answer)
            assert answer.status < 400 or PROBLEMS[str(answer.code)][0] == answer.status
            assert answer.headers["Server"] == "Stagedoor"
        child.terminate()
        assert child.wait(10) == 0
        assert child.stderr is not None
        assert b"error" not in child.stderr.read()  # somebody's noise is not a fault of ours
