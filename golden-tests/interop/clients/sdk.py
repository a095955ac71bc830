"""What both generations of the Python SDK can do in the same words: the steps, and what arrives in between.

A generation's own file opens the connection and adds the steps that it does in its own way.
"""

import anyio

import play


def wire(model):
    """A result as it was on the wire, reduced to what the checks read."""
    return play.seen_of_result(model.model_dump(by_alias=True, mode="json", exclude_none=True))


class Steps:
    """The steps of one connection; `do` performs one. `sdk` is the object that calls are made on."""

    def __init__(self, sdk, types, heard):
        self.sdk = sdk
        self.types = types
        self.heard = heard

    async def do(self, step):
        return await getattr(self, step["do"])(step)

    async def list_tools(self, _step):
        return wire(await self.sdk.list_tools())

    async def list_prompts(self, _step):
        return wire(await self.sdk.list_prompts())

    async def list_resources(self, _step):
        return wire(await self.sdk.list_resources())

    async def list_templates(self, _step):
        return wire(await self.sdk.list_resource_templates())

    async def call(self, step):
        return wire(await self.sdk.call_tool(step["name"], step.get("arguments", {})))

    async def prompt(self, step):
        return wire(await self.sdk.get_prompt(step["name"], step.get("arguments", {})))

    async def read(self, step):
        return wire(await self.sdk.read_resource(step["uri"]))

    async def complete(self, step):
        ref = step["ref"]
        if "name" in ref:
            reference = self.types.PromptReference(type="ref/prompt", name=ref["name"])
        else:
            reference = self.types.ResourceTemplateReference(type="ref/resource", uri=ref["uri"])
        return wire(await self.sdk.complete(reference, step["argument"], step.get("context")))

    async def ping(self, _step):
        return wire(await self.sdk.send_ping())

    async def set_level(self, step):
        return wire(await self.sdk.set_logging_level(step["level"]))

    async def progress(self, step):
        values = []

        async def on_progress(progress, _total, _message):
            values.append(progress)

        result = await self.sdk.call_tool(step["name"], step["arguments"], progress_callback=on_progress)
        return wire(result) | {"progress": values}

    async def changed(self, step):
        return await play.until_changed(lambda: self.call(step), self.heard.resources_changed)

    async def updated(self, step):
        """Only in a session: a subscription, a change until it is told of, and the end of the subscription."""
        await self.sdk.subscribe_resource(step["uri"])
        seen = await play.until_changed(lambda: self.call(step), self.heard.resource_updated)
        await self.sdk.unsubscribe_resource(step["uri"])
        return seen

    async def parallel(self, step):
        wrong = []

        async def one(call):
            seen = await self.call({"name": step["name"], "arguments": call["arguments"]})
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

    def __init__(self, types):
        self.types = types
        self.logs = []
        self.resources_changed = anyio.Event()
        self.resource_updated = anyio.Event()

    async def on_log(self, params):
        self.logs.append(str(params.data))

    async def on_message(self, message):
        # The first generation wraps a notification, the second one does not.
        message = getattr(message, "root", message)
        if isinstance(message, self.types.ResourceListChangedNotification):
            self.resources_changed.set()
        if isinstance(message, self.types.ResourceUpdatedNotification):
            self.resource_updated.set()
