"""Drives one server with the Python `mcp` client, generation 1: sessions, opened with `initialize`, over whichever
transport the job names."""

from contextlib import asynccontextmanager

import anyio
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

import play
from sdk import Heard, Steps


def transport(job):
    """The transport that the job names."""
    target = job["target"]
    if "url" not in target:
        return stdio_client(StdioServerParameters(**target))
    return sse_client(target["url"]) if job["older"] else streamable_http_client(target["url"])


@asynccontextmanager
async def connected(job, heard):
    """A session that is not initialised yet."""
    async with transport(job) as streams, ClientSession(
        streams[0], streams[1], logging_callback=heard.on_log, message_handler=heard.on_message
    ) as session:
        yield session


class Driver(Steps):
    """One connected session."""

    def __init__(self, session, heard):
        super().__init__(session, types, heard)
        self.resources = None

    async def connect(self, _step):
        opened = await self.sdk.initialize()
        self.resources = opened.capabilities.resources
        return {"note": f"{opened.protocolVersion}, {opened.serverInfo.name}"}

    async def logs(self, step):
        self.heard.logs.clear()
        await self.sdk.set_logging_level("debug")
        return await play.until_logged(lambda: self.call(step), self.heard.logs, step["expect"]["logs"])

    async def updated(self, step):
        if not (self.resources and self.resources.subscribe):
            return play.NO_SUBSCRIPTIONS
        return await super().updated(step)

    async def cancel(self, step):
        """This generation does not tell the server when a call is abandoned, so the notification is sent by hand."""
        moved = anyio.Event()
        ended = []

        async def on_progress(_progress, _total, _message):
            moved.set()

        request_id = self.sdk._request_id  # the id the next request takes; there is no public way to it

        async def call():
            try:
                ended.append(await self.sdk.call_tool(step["name"], step["arguments"], progress_callback=on_progress))
            except McpError:
                pass  # a server may answer a cancelled call with an error

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await moved.wait()
            params = types.CancelledNotificationParams(requestId=request_id, reason="interop play")
            await self.sdk.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
            await anyio.sleep(0.3)
            group.cancel_scope.cancel()
        return {"cancelled": not ended, "note": "cancelled after the first progress"}


async def main():
    job = play.load_job()
    heard = Heard(types)
    async with connected(job, heard) as session:
        await play.perform(job, Driver(session, heard), McpError)


anyio.run(main)
