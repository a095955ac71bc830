"""A small MCP client on the standard library: requests over Streamable HTTP in either era.

Owns headers, sessions, event streams and their resumption. What a client answers when it is asked is `answers.py`;
what it does in which scenario is `play.py`.
"""

import base64
import http.client
import itertools
import json
import threading
import time
from urllib.parse import urlsplit

from suite.answers import CAPABILITIES, answer

LEGACY, MODERN = "2025-11-25", "2026-07-28"
SECONDS = 20
ROUNDS_MAX = 8
NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}


class Refused(Exception):
    """The server answered with a JSON-RPC error, or with no message at all."""

    def __init__(self, status, error):
        super().__init__(f"HTTP {status}: {error}")
        self.error = error if isinstance(error, dict) else {}


class Client:
    """What both eras share: posting a message and reading what comes back."""

    def __init__(self, url):
        self.url = urlsplit(url)
        self.ids = itertools.count(1)
        self.schemas = {}

    def exchange(self, method, headers, body=None):
        """Sends one HTTP request; returns its connection and response."""
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=SECONDS)
        data = None if body is None else json.dumps(body).encode()
        connection.request(method, self.url.path or "/", data, headers)
        return connection, connection.getresponse()

    def post(self, message, extra):
        """Posts a message and returns the answer to it, if it is a request."""
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"} | extra
        connection, response = self.exchange("POST", headers, message)
        try:
            if "id" not in message or "method" not in message:
                response.read()
                return None
            self.noticed(response)
            if "text/event-stream" in (response.getheader("Content-Type") or ""):
                return self.from_stream(response, message["id"])
            text = response.read()
            try:
                reply = json.loads(text)
            except ValueError:
                raise Refused(response.status, text.decode(errors="replace")) from None
            return self.result(response.status, reply)
        finally:
            connection.close()

    def noticed(self, response):
        """Whatever else a response says."""

    def result(self, status, reply):
        """The result of a reply."""
        if "result" in reply:
            return reply["result"]
        raise Refused(status, reply.get("error"))

    def from_stream(self, response, wanted):
        """Reads events until the answer; requests of the server in between are answered."""
        last, retry = None, 0.0
        for _ in range(ROUNDS_MAX):
            for event in events(response):
                last = event.get("id", last)
                retry = float(event.get("retry", retry * 1000)) / 1000
                if not event.get("data"):
                    continue
                message = json.loads(event["data"])
                if message.get("id") == wanted and "method" not in message:
                    return self.result(200, message)
                if "id" in message and "method" in message:
                    self.asked(message)
            if last is None:
                break
            time.sleep(retry)
            _, response = self.resume(last)
        raise Refused(200, "the stream ended without an answer")


class Legacy(Client):
    """A client with a session."""

    def __init__(self, url):
        super().__init__(url)
        self.session = {}
        self.revision = None

    def connect(self):
        """The handshake."""
        params = {"protocolVersion": LEGACY, "capabilities": CAPABILITIES, "clientInfo": {"name": "scripted", "version": "1"}}
        result = self.request("initialize", params)
        self.revision = result["protocolVersion"]
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"}, self.headers())
        threading.Thread(target=self.listen, daemon=True).start()
        return result

    def listen(self):
        """Answers what the server asks outside of calls, where it offers a stream for that."""
        try:
            _, response = self.exchange("GET", {"Accept": "text/event-stream"} | self.headers())
            for event in events(response) if response.status == 200 else []:
                message = json.loads(event["data"]) if event.get("data") else {}
                if "id" in message and "method" in message:
                    self.asked(message)
        except OSError:
            pass  # The server is gone, and nobody asks any more.

    def request(self, method, params=None):
        """One request and its result."""
        message = {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": params or {}}
        return self.post(message, self.headers())

    def headers(self):
        """What names the session and the revision."""
        return self.session | ({"MCP-Protocol-Version": self.revision} if self.revision else {})

    def noticed(self, response):
        """The session is named by the answer to `initialize`."""
        if response.getheader("Mcp-Session-Id"):
            self.session = {"Mcp-Session-Id": response.getheader("Mcp-Session-Id")}

    def asked(self, message):
        """Answers a request of the server."""
        reply = {"jsonrpc": "2.0", "id": message["id"], "result": answer(message["method"], message.get("params", {}))}
        self.post(reply, self.headers())

    def resume(self, last):
        """Goes on with a stream that was closed."""
        return self.exchange("GET", {"Accept": "text/event-stream", "Last-Event-ID": last} | self.headers())

    def call(self, method, params, between=lambda: None):
        """A request that may ask; here the questions come on its stream."""
        between()
        return self.request(method, params)


class Modern(Client):
    """A client whose every request stands alone."""

    def connect(self):
        """Asks what the server is."""
        return self.request("server/discover")

    def request(self, method, params=None):
        """One request and its result. A refused revision is tried again with one that the server names."""
        try:
            return self.once(method, params or {}, MODERN)
        except Refused as refused:
            supported = refused.error.get("data", {}).get("supported") if refused.error.get("code") == -32022 else None
            if not supported or MODERN not in supported:
                raise
            return self.once(method, params or {}, MODERN)

    def once(self, method, params, revision):
        """One request, sent once."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": revision,
            "io.modelcontextprotocol/clientCapabilities": CAPABILITIES,
            "io.modelcontextprotocol/clientInfo": {"name": "scripted", "version": "1"},
        }
        headers = {"MCP-Protocol-Version": revision, "Mcp-Method": method}
        if method in NAMED:
            headers["Mcp-Name"] = encoded(params[NAMED[method]])
        if method == "tools/call":
            headers |= self.mirrored(params)
        message = {"jsonrpc": "2.0", "id": next(self.ids), "method": method, "params": params | {"_meta": meta}}
        return self.post(message, headers)

    def mirrored(self, params):
        """The arguments that the schema wants as headers, too."""
        headers = {}
        for name, schema in self.schemas.get(params["name"], {}).get("properties", {}).items():
            value = params.get("arguments", {}).get(name)
            if "x-mcp-header" in schema and value is not None:
                text = json.dumps(value) if not isinstance(value, str) else value
                headers[f"Mcp-Param-{schema['x-mcp-header']}"] = encoded(text)
        return headers

    def asked(self, message):
        """No server of this era asks on a stream."""
        raise Refused(200, f"the server sent the request {message['method']}")

    def resume(self, last):
        """No stream of this era goes on."""
        raise Refused(200, "the stream ended without an answer")

    def call(self, method, params, between=lambda: None):
        """A request that may ask; here the answers go with the next request."""
        result = self.request(method, params)
        for _ in range(ROUNDS_MAX):
            if result.get("resultType", "complete") != "input_required":
                return result
            between()
            asks = result.get("inputRequests", {})
            again = {"inputResponses": {key: answer(ask["method"], ask.get("params", {})) for key, ask in asks.items()}}
            if "requestState" in result:
                again["requestState"] = result["requestState"]
            result = self.request(method, params | again)
        raise Refused(200, "the server does not stop asking")


def events(response):
    """The events of a stream, as dictionaries of their fields."""
    event = {}
    for raw in response:
        line = raw.decode().rstrip("\r\n")
        if not line:
            if event:
                yield event
            event = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            event[name] = f"{event['data']}\n{value}" if name == "data" and "data" in event else value


def encoded(text):
    """A header value: as it is where that is possible, else Base64 between markers."""
    is_plain = all(" " <= char <= "~" for char in text) and text == text.strip() and not text.startswith("=?base64?")
    return text if is_plain else f"=?base64?{base64.b64encode(text.encode()).decode()}?="
