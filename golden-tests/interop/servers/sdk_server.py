"""A small MCP server on the Python SDK, generation 2, over Streamable HTTP in both eras.

The published reference servers speak the stateless era over stdio at most; this one speaks it over HTTP.
It counts the calls that were cancelled, so a play can prove that a cancellation reached the server.
"""

import sys
from collections import Counter

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.resources import TextResource
from mcp_types import Completion

mcp = MCPServer("sdk-server")
cancelled = Counter()
grown = []
SHELVES = ["fiction", "finance", "history"]


@mcp.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@mcp.tool()
async def slow(label: str, steps: int, pause: float, ctx: Context) -> str:
    """Reports progress `steps` times with `pause` seconds in between."""
    try:
        for step in range(1, steps + 1):
            await anyio.sleep(pause)
            await ctx.report_progress(step, steps)
    except BaseException:
        cancelled[label] += 1
        raise
    return f"{label} finished {steps} steps"


@mcp.tool()
async def grow(ctx: Context) -> str:
    """Adds a resource, says so in the log, and tells who listens."""
    grown.append(f"shop://grown/{len(grown)}")
    mcp.add_resource(TextResource(uri=grown[-1], name=grown[-1], text="new on the shelf"))
    await ctx.info(f"grown by {grown[-1]}")
    await ctx.notify_resources_changed()
    if (ctx.protocol_version or "") < "2026":
        await ctx.session.send_resource_list_changed()
    return grown[-1]


@mcp.tool()
async def restock(ctx: Context) -> str:
    """Tells who subscribed to the opening hours that they changed."""
    await ctx.notify_resource_updated("shop://hours")
    return "restocked"


@mcp.tool()
async def cancelled_calls(label: str) -> str:
    """Tells how many calls of `slow` with this label were cancelled, waiting up to two seconds for the first."""
    with anyio.move_on_after(2):
        while not cancelled[label]:
            await anyio.sleep(0.05)
    return f"{label}: {cancelled[label]} cancelled"


@mcp.prompt()
def review(code: str) -> str:
    """Asks for a review."""
    return f"Please review {code}"


@mcp.resource("shop://hours")
def hours() -> str:
    """Opening hours."""
    return "nine to five"


@mcp.resource("shop://shelf/{name}")
def shelf(name: str) -> str:
    """One shelf."""
    return f"the {name} shelf"


@mcp.completion()
async def complete(_ref, argument, _context):
    """Completes shelf names."""
    return Completion(values=[name for name in SHELVES if name.startswith(argument.value)])


mcp.run("streamable-http", host="127.0.0.1", port=int(sys.argv[1]))
