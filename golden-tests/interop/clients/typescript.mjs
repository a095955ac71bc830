// Drives one server with the TypeScript client, generation 2, in the era the job names.
//
// The SDK is looked up in the cache folder that the runner passes as the second argument, not beside this file.

import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { loadJob, perform, seenOfResult, untilChanged, untilLogged } from "./play.mjs";

const installed = createRequire(join(process.argv[3], "package.json"));
const load = (name) => import(pathToFileURL(installed.resolve(name)));
const { Client, SSEClientTransport, StreamableHTTPClientTransport } = await load("@modelcontextprotocol/client");

const job = loadJob();
const modern = job.era === "modern";
const client = new Client(
  { name: "mcpc-interop", version: "1.0.0" },
  modern ? { versionNegotiation: { mode: "auto" } } : {},
);

const logs = [];
client.setNotificationHandler("notifications/message", (message) => {
  logs.push(typeof message.params.data === "string" ? message.params.data : JSON.stringify(message.params.data));
});

async function transport(target) {
  if (target.url) return new (job.older ? SSEClientTransport : StreamableHTTPClientTransport)(new URL(target.url));
  const { StdioClientTransport } = await load("@modelcontextprotocol/client/stdio");
  return new StdioClientTransport({ ...target, stderr: "inherit" });
}

// Makes a change until the notification arrives; the stateless era has to open a stream for it first.
async function listening(method, filter, step) {
  const told = new Promise((resolve) => {
    client.setNotificationHandler(method, () => resolve());
  });
  const change = async () => seenOfResult(await client.callTool({ name: step.name, arguments: step.arguments }));
  const subscription = modern ? await client.listen(filter) : null;
  const seen = await untilChanged(change, told);
  await subscription?.close();
  return seen;
}

const verbs = {
  async connect() {
    await client.connect(await transport(job.target));
    const version = client.getNegotiatedProtocolVersion();
    if (modern !== version >= "2026-07-28") return { error: "wrong era", text: `negotiated ${version}` };
    return { note: `${version}, ${client.getServerVersion()?.name}` };
  },
  list_tools: async () => seenOfResult(await client.listTools()),
  list_prompts: async () => seenOfResult(await client.listPrompts()),
  list_resources: async () => seenOfResult(await client.listResources()),
  list_templates: async () => seenOfResult(await client.listResourceTemplates()),
  call: async (step) => seenOfResult(await client.callTool({ name: step.name, arguments: step.arguments ?? {} })),
  prompt: async (step) => seenOfResult(await client.getPrompt({ name: step.name, arguments: step.arguments ?? {} })),
  read: async (step) => seenOfResult(await client.readResource({ uri: step.uri })),
  async complete(step) {
    const ref = step.ref.name
      ? { type: "ref/prompt", name: step.ref.name }
      : { type: "ref/resource", uri: step.ref.uri };
    const context = step.context ? { context: { arguments: step.context } } : {};
    return seenOfResult(await client.complete({ ref, argument: step.argument, ...context }));
  },
  ping: async () => seenOfResult(await client.ping()),
  set_level: async (step) => seenOfResult(await client.setLoggingLevel(step.level)),
  async progress(step) {
    const values = [];
    const result = await client.callTool(
      { name: step.name, arguments: step.arguments },
      { onprogress: (progress) => values.push(progress.progress) },
    );
    return { ...seenOfResult(result), progress: values };
  },
  // Sessions set a level for all that follows; the stateless era asks for logs call by call.
  async logs(step) {
    logs.length = 0;
    const call = { name: step.name, arguments: step.arguments };
    if (modern) call._meta = { "io.modelcontextprotocol/logLevel": "debug" };
    else await client.setLoggingLevel("debug");
    return untilLogged(async () => seenOfResult(await client.callTool(call)), logs, step.expect.logs);
  },
  async changed(step) {
    return listening("notifications/resources/list_changed", { resourcesListChanged: true }, step);
  },
  async updated(step) {
    if (!client.getServerCapabilities()?.resources?.subscribe)
      return { notOffered: "the endpoint announces no resource subscriptions" };
    if (!modern) await client.subscribeResource({ uri: step.uri });
    const seen = await listening("notifications/resources/updated", { resourceSubscriptions: [step.uri] }, step);
    if (!modern) await client.unsubscribeResource({ uri: step.uri });
    return seen;
  },
  async cancel(step) {
    const abort = new AbortController();
    try {
      await client.callTool(
        { name: step.name, arguments: step.arguments },
        { signal: abort.signal, onprogress: () => abort.abort("interop play") },
      );
      return { cancelled: false };
    } catch (error) {
      if (!abort.signal.aborted) throw error;
      return { cancelled: true, note: "cancelled after the first progress" };
    }
  },
  async parallel(step) {
    const answers = await Promise.all(
      step.calls.map((call) => client.callTool({ name: step.name, arguments: call.arguments })),
    );
    const wrong = answers
      .map((answer, at) => [seenOfResult(answer), step.calls[at]])
      .filter(([seen, call]) => seen.error || !seen.text.includes(call.text))
      .map(([seen, call]) => `${JSON.stringify(call.arguments)} was answered "${seen.text}"`);
    if (wrong.length) return { error: "answers mixed up", text: wrong.join("; ") };
    return { note: `${answers.length} calls at once, each with its own answer` };
  },
};

await perform(job, (step) => verbs[step.do](step));
await client.close();
process.exit(0);
