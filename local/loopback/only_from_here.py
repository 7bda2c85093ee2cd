"""Keeps the web pages that a developer opens away from the emulators. `src/lib.rs` has the same for our own servers, and says
why. Run as a program, this decides the cases of `cases.json`, which both must decide alike.
"""

import ipaddress
import json
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path

NOT_LOOPBACK = 421, "This server answers only at http://127.0.0.1 or http://localhost, with its port.\n"
OTHER_PAGE = 403, "This server does not answer pages of other origins.\n"

# The API's routes, behind which is also the page that a link in an e-mail leads to.
ENTRIES = ("/_aws/execute-api/",)

HOST = re.compile(r"(?P<name>\[::1\]|[^:\[\]]+)(:(?P<port>[0-9]{1,5}))?")
LOCALHOST = re.compile(r"([a-z0-9_-]+\.)*localhost")


def refusal(method, headers, is_entry):
    """Why a request is refused: a status and a text. None for one that is answered.

    `headers` are pairs of a lower-case name and a value, as they came: a header that comes twice is two pairs.
    """
    values = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)

    def is_repeated(name):
        return len(values.get(name, [])) > 1

    def value(name):
        return values.get(name, [None])[0]

    host = value("host")
    if host is None or is_repeated("host") or not is_loopback(host):
        return NOT_LOOPBACK
    if "access-control-request-method" in values or is_repeated("origin") or is_repeated("sec-fetch-site"):
        return OTHER_PAGE
    origin, site = value("origin"), value("sec-fetch-site")
    if origin == "null":
        is_own_origin = site == "same-origin"
    else:
        is_own_origin = origin is None or origin.lower() == f"http://{host.lower()}"
    is_followed_link = value("sec-fetch-mode") == "navigate" and value("sec-fetch-dest") == "document"
    is_own_site = site in (None, "same-origin", "none") or (is_entry and method == "GET" and is_followed_link)
    return None if is_own_origin and is_own_site else OTHER_PAGE


def is_loopback(host):
    match = HOST.fullmatch(host.lower())
    if not match or int(match["port"] or 0) > 65535:
        return False
    if match["name"] == "[::1]" or LOCALHOST.fullmatch(match["name"]):
        return True
    try:
        return ipaddress.IPv4Address(match["name"]).is_loopback
    except ValueError:
        return False


def refusal_of_raw(method, path, headers):
    """The same for headers as bytes, as the emulators' servers have them."""
    decoded = [(name.decode("latin-1").lower(), value.decode("latin-1").strip()) for name, value in headers]
    return refusal(method, decoded, path.startswith(ENTRIES))


def guarded(app):
    """An ASGI application that refuses what `refusal` refuses, and lets no page of another origin read an answer."""

    async def guard(scope, receive, send):
        if scope["type"] == "lifespan":
            return await app(scope, receive, send)
        refused = refusal_of_raw(scope.get("method", "GET"), scope["path"], scope["headers"])
        if scope["type"] == "websocket":
            if refused:
                return await send({"type": "websocket.close", "code": 1008})
            return await app(scope, receive, send)
        if refused:
            status, text = refused
            headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-content-type-options", b"nosniff")]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            return await send({"type": "http.response.body", "body": text.encode()})

        async def send_to_own_pages(message):
            if message["type"] == "http.response.start":
                headers = message.get("headers", [])
                kept = [(name, value) for name, value in headers if not name.lower().startswith(b"access-control-")]
                message = message | {"headers": kept}
            await send(message)

        return await app(scope, receive, send_to_own_pages)

    return guard


def guard_http_servers():
    """Makes the servers of the standard library refuse the same. The emulators have one for each function: its Runtime API."""
    parse_request = BaseHTTPRequestHandler.parse_request

    def parse_and_check(self):
        if not parse_request(self):
            return False
        headers = [(name.lower(), value.strip()) for name, value in self.headers.items()]
        refused = refusal(self.command, headers, False)
        if refused:
            self.close_connection = True
            self.send_error(refused[0])
        return not refused

    BaseHTTPRequestHandler.parse_request = parse_and_check


def check_cases():
    cases = json.loads(Path(__file__).with_name("cases.json").read_text())
    for case in cases:
        headers = [
            (name, value)
            for name, values in case["headers"].items()
            for value in ([values] if isinstance(values, str) else values)
        ]
        refused = refusal(case.get("method", "GET"), headers, case.get("entry", False))
        status = refused[0] if refused else 0
        assert status == case["refused"], f"{case['what']}: {status}"
    print(f"{len(cases)} cases decided as expected")


if __name__ == "__main__":
    check_cases()
