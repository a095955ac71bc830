"""Drives one server with the Python `mcp` client, generation 2.

The job's era picks the mode: `legacy` opens with `initialize`, `modern` asks `server/discover` first.
"""

import sys
import time
import warnings

import anyio
import mcp_types as types
from mcp import Client, MCPError, StdioServerParameters
from mcp.shared.exceptions import MCPDeprecationWarning

import play
from sdk import Heard, Steps, wire

# Ping and setLevel are deprecated for the stateless era, and exactly what a session-era play must drive.
warnings.simplefilter("ignore", MCPDeprecationWarning)


class Driver(Steps):
    """One connected client."""

    def __init__(self, client, era, heard):
        super().__init__(client, types, heard)
        self.era = era

    async def connect(self, _step):
        version = self.sdk.protocol_version
        server = self.sdk.server_info
        if (self.era == "modern") != (version >= "2026-07-28"):
            return {"error": "wrong era", "text": f"negotiated {version}"}
        return {"note": f"{version}, {server.name if server else 'no name'}"}

    async def logs(self, step):
        """Sessions set a level for all that follows; the stateless era asks for logs call by call."""
        self.heard.logs.clear()
        meta = None
        if self.era == "legacy":
            await self.sdk.set_logging_level("debug")
        else:
            meta = {"io.modelcontextprotocol/logLevel": "debug"}

        async def call():
            return wire(await self.sdk.call_tool(step["name"], step["arguments"], meta=meta))

        return await play.until_logged(call, self.heard.logs, step["expect"]["logs"])

    async def changed(self, step):
        if self.era == "legacy":
            return await super().changed(step)
        return await self.listening(step, resources_list_changed=True)

    async def updated(self, step):
        resources = self.sdk.server_capabilities.resources
        if not (resources and resources.subscribe):
            return play.NO_SUBSCRIPTIONS
        if self.era == "legacy":
            return await super().updated(step)
        return await self.listening(step, resource_subscriptions=[step["uri"]])

    async def listening(self, step, **wanted):
        """Makes a change while a listen stream is open, until the stream tells of it."""
        told = anyio.Event()

        async def listen(subscription):
            async for _event in subscription:
                told.set()

        async with self.sdk.listen(**wanted) as subscription, anyio.create_task_group() as group:
            group.start_soon(listen, subscription)
            seen = await play.until_changed(lambda: self.call(step), told)
            group.cancel_scope.cancel()
        return seen

    async def cancel(self, step):
        moved = anyio.Event()

        async def on_progress(_progress, _total, _message):
            moved.set()

        ended = []

        async def call():
            ended.append(await self.sdk.call_tool(step["name"], step["arguments"], progress_callback=on_progress))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await moved.wait()
            group.cancel_scope.cancel()
        return {"cancelled": not ended, "note": "cancelled after the first progress"}


async def main():
    job = play.load_job()
    target = job["target"]
    server = target["url"] if "url" in target else StdioServerParameters(**target)
    started = time.monotonic()
    mode = "auto" if job["era"] == "modern" else "legacy"
    heard = Heard(types)
    async with Client(
        server,
        mode=mode,
        read_timeout_seconds=job["steps"][0]["seconds"],
        logging_callback=heard.on_log,
        message_handler=heard.on_message,
    ) as client:
        await play.perform(job, Driver(client, job["era"], heard), MCPError)
    print(f"done in {time.monotonic() - started:.1f} s", file=sys.stderr)


anyio.run(main)
