"""Drives one server with the Python `mcp` client, generation 1: sessions, opened with `initialize`."""

from contextlib import asynccontextmanager

import anyio
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

import play


def wire(model):
    """A result as it was on the wire, reduced to what the checks read."""
    return play.seen_of_result(model.model_dump(by_alias=True, mode="json", exclude_none=True))


@asynccontextmanager
async def connected(target, heard):
    """A session over Streamable HTTP or stdio, not initialised yet."""
    transport = streamable_http_client(target["url"]) if "url" in target else stdio_client(StdioServerParameters(**target))
    async with transport as streams, ClientSession(
        streams[0], streams[1], logging_callback=heard.on_log, message_handler=heard.on_message
    ) as session:
        yield session


class Driver:
    """One connected session; `do` performs one step."""

    def __init__(self, session, heard):
        self.session = session
        self.heard = heard
        self.resources = None

    async def do(self, step):
        return await getattr(self, step["do"])(step)

    async def connect(self, _step):
        opened = await self.session.initialize()
        self.resources = opened.capabilities.resources
        return {"note": f"{opened.protocolVersion}, {opened.serverInfo.name}"}

    async def list_tools(self, _step):
        return wire(await self.session.list_tools())

    async def list_prompts(self, _step):
        return wire(await self.session.list_prompts())

    async def list_resources(self, _step):
        return wire(await self.session.list_resources())

    async def list_templates(self, _step):
        return wire(await self.session.list_resource_templates())

    async def call(self, step):
        return wire(await self.session.call_tool(step["name"], step.get("arguments", {})))

    async def prompt(self, step):
        return wire(await self.session.get_prompt(step["name"], step.get("arguments", {})))

    async def read(self, step):
        return wire(await self.session.read_resource(step["uri"]))

    async def complete(self, step):
        ref = step["ref"]
        if "name" in ref:
            reference = types.PromptReference(type="ref/prompt", name=ref["name"])
        else:
            reference = types.ResourceTemplateReference(type="ref/resource", uri=ref["uri"])
        return wire(await self.session.complete(reference, step["argument"], step.get("context")))

    async def ping(self, _step):
        return wire(await self.session.send_ping())

    async def set_level(self, step):
        return wire(await self.session.set_logging_level(step["level"]))

    async def progress(self, step):
        values = []

        async def on_progress(progress, _total, _message):
            values.append(progress)

        result = await self.session.call_tool(step["name"], step["arguments"], progress_callback=on_progress)
        return wire(result) | {"progress": values}

    async def logs(self, step):
        self.heard.logs.clear()
        await self.session.set_logging_level("debug")

        async def call():
            return wire(await self.session.call_tool(step["name"], step["arguments"]))

        return await play.until_logged(call, self.heard.logs, step["expect"]["logs"])

    async def changed(self, step):
        async def change():
            return wire(await self.session.call_tool(step["name"], step["arguments"]))

        return await play.until_changed(change, self.heard.resources_changed)

    async def updated(self, step):
        async def change():
            return wire(await self.session.call_tool(step["name"], step["arguments"]))

        if not (self.resources and self.resources.subscribe):
            return play.NO_SUBSCRIPTIONS
        await self.session.subscribe_resource(step["uri"])
        seen = await play.until_changed(change, self.heard.resource_updated)
        await self.session.unsubscribe_resource(step["uri"])
        return seen

    async def cancel(self, step):
        """This generation does not tell the server when a call is abandoned, so the notification is sent by hand."""
        moved = anyio.Event()
        ended = []

        async def on_progress(_progress, _total, _message):
            moved.set()

        request_id = self.session._request_id  # the id the next request takes; there is no public way to it

        async def call():
            try:
                ended.append(await self.session.call_tool(step["name"], step["arguments"], progress_callback=on_progress))
            except McpError:
                pass  # a server may answer a cancelled call with an error

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await moved.wait()
            params = types.CancelledNotificationParams(requestId=request_id, reason="interop play")
            await self.session.send_notification(types.ClientNotification(types.CancelledNotification(params=params)))
            await anyio.sleep(0.3)
            group.cancel_scope.cancel()
        return {"cancelled": not ended, "note": "cancelled after the first progress"}

    async def parallel(self, step):
        wrong = []

        async def one(call):
            seen = wire(await self.session.call_tool(step["name"], call["arguments"]))
            if seen["error"] or call["text"] not in seen["text"]:
                wrong.append(f"{call['arguments']} was answered {seen['text']!r}")

        async with anyio.create_task_group() as group:
            for call in step["calls"]:
                group.start_soon(one, call)
        if wrong:
            return {"error": "answers mixed up", "text": "; ".join(wrong)}
        return {"note": f"{len(step['calls'])} calls at once, each with its own answer"}


class Heard:
    """What arrived without being an answer."""

    def __init__(self):
        self.logs = []
        self.resources_changed = anyio.Event()
        self.resource_updated = anyio.Event()

    async def on_log(self, params):
        self.logs.append(str(params.data))

    async def on_message(self, message):
        if isinstance(getattr(message, "root", None), types.ResourceListChangedNotification):
            self.resources_changed.set()
        if isinstance(getattr(message, "root", None), types.ResourceUpdatedNotification):
            self.resource_updated.set()


async def main():
    job = play.load_job()
    heard = Heard()
    async with connected(job["target"], heard) as session:
        await play.perform(job, Driver(session, heard), McpError)


anyio.run(main)
