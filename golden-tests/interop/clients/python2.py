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

# Ping and setLevel are deprecated for the stateless era, and exactly what a session-era play must drive.
warnings.simplefilter("ignore", MCPDeprecationWarning)


def wire(model):
    """A result as it was on the wire, reduced to what the checks read."""
    return play.seen_of_result(model.model_dump(by_alias=True, mode="json", exclude_none=True))


class Driver:
    """One connected client; `do` performs one step."""

    def __init__(self, client, era, heard):
        self.client = client
        self.era = era
        self.heard = heard

    async def do(self, step):
        return await getattr(self, step["do"])(step)

    async def connect(self, _step):
        version = self.client.protocol_version
        server = self.client.server_info
        if (self.era == "modern") != (version >= "2026-07-28"):
            return {"error": "wrong era", "text": f"negotiated {version}"}
        return {"note": f"{version}, {server.name if server else 'no name'}"}

    async def list_tools(self, _step):
        return wire(await self.client.list_tools())

    async def list_prompts(self, _step):
        return wire(await self.client.list_prompts())

    async def list_resources(self, _step):
        return wire(await self.client.list_resources())

    async def list_templates(self, _step):
        return wire(await self.client.list_resource_templates())

    async def call(self, step):
        return wire(await self.client.call_tool(step["name"], step.get("arguments", {})))

    async def prompt(self, step):
        return wire(await self.client.get_prompt(step["name"], step.get("arguments", {})))

    async def read(self, step):
        return wire(await self.client.read_resource(step["uri"]))

    async def complete(self, step):
        ref = step["ref"]
        if "name" in ref:
            reference = types.PromptReference(type="ref/prompt", name=ref["name"])
        else:
            reference = types.ResourceTemplateReference(type="ref/resource", uri=ref["uri"])
        return wire(await self.client.complete(reference, step["argument"], step.get("context")))

    async def ping(self, _step):
        return wire(await self.client.send_ping())

    async def set_level(self, step):
        return wire(await self.client.set_logging_level(step["level"]))

    async def progress(self, step):
        values = []

        async def on_progress(progress, _total, _message):
            values.append(progress)

        result = await self.client.call_tool(step["name"], step["arguments"], progress_callback=on_progress)
        return wire(result) | {"progress": values}

    async def logs(self, step):
        """Sessions set a level for all that follows; the stateless era asks for logs call by call."""
        self.heard.logs.clear()
        meta = None
        if self.era == "legacy":
            await self.client.set_logging_level("debug")
        else:
            meta = {"io.modelcontextprotocol/logLevel": "debug"}

        async def call():
            return wire(await self.client.call_tool(step["name"], step["arguments"], meta=meta))

        return await play.until_logged(call, self.heard.logs, step["expect"]["logs"])

    async def changed(self, step):
        async def change():
            return wire(await self.client.call_tool(step["name"], step["arguments"]))

        if self.era == "legacy":
            return await play.until_changed(change, self.heard.resources_changed)
        return await self.listening(change, resources_list_changed=True)

    async def updated(self, step):
        resources = self.client.server_capabilities.resources
        if not (resources and resources.subscribe):
            return play.NO_SUBSCRIPTIONS

        async def change():
            return wire(await self.client.call_tool(step["name"], step["arguments"]))

        if self.era == "legacy":
            await self.client.subscribe_resource(step["uri"])
            seen = await play.until_changed(change, self.heard.resource_updated)
            await self.client.unsubscribe_resource(step["uri"])
            return seen
        return await self.listening(change, resource_subscriptions=[step["uri"]])

    async def listening(self, change, **wanted):
        """Makes a change while a listen stream is open, until the stream tells of it."""
        told = anyio.Event()

        async def listen(subscription):
            async for _event in subscription:
                told.set()

        async with self.client.listen(**wanted) as subscription, anyio.create_task_group() as group:
            group.start_soon(listen, subscription)
            seen = await play.until_changed(change, told)
            group.cancel_scope.cancel()
        return seen

    async def cancel(self, step):
        moved = anyio.Event()

        async def on_progress(_progress, _total, _message):
            moved.set()

        ended = []

        async def call():
            ended.append(await self.client.call_tool(step["name"], step["arguments"], progress_callback=on_progress))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await moved.wait()
            group.cancel_scope.cancel()
        return {"cancelled": not ended, "note": "cancelled after the first progress"}

    async def parallel(self, step):
        wrong = []

        async def one(call):
            seen = wire(await self.client.call_tool(step["name"], call["arguments"]))
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
        if isinstance(message, types.ResourceListChangedNotification):
            self.resources_changed.set()
        if isinstance(message, types.ResourceUpdatedNotification):
            self.resource_updated.set()


async def main():
    job = play.load_job()
    target = job["target"]
    server = target["url"] if "url" in target else StdioServerParameters(**target)
    started = time.monotonic()
    mode = "auto" if job["era"] == "modern" else "legacy"
    heard = Heard()
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
