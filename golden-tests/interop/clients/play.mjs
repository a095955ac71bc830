// What the TypeScript client shares with the Python ones: the job, the checks, the lines. See play.py for the contract.

import { readFileSync } from "node:fs";

const CHANGE_ATTEMPTS = 4;
const CHANGE_MILLISECONDS = 1500;

export const loadJob = () => JSON.parse(readFileSync(process.argv[2], "utf8"));

export function report(job, step, ok, detail, started) {
  const line = {
    client: job.client,
    server: job.server,
    step,
    ok,
    detail: String(detail).slice(0, 400),
    ms: Math.round(performance.now() - started),
  };
  process.stdout.write(JSON.stringify(line) + "\n");
}

/** Summarises a result in wire shape: names listed, text carried, structured content, completion values. */
export function seenOfResult(result) {
  const named = (key, name) => (result[key] ?? []).map((item) => String(item[name]));
  return {
    names: [
      ...named("tools", "name"),
      ...named("prompts", "name"),
      ...named("resources", "uri"),
      ...named("resourceTemplates", "uriTemplate"),
    ],
    text: textsIn(result).join("\n"),
    structured: result.structuredContent,
    values: result.completion?.values ?? [],
    error: result.isError ? "isError result" : null,
  };
}

function textsIn(result) {
  const blocks = [...(result.content ?? []), ...(result.messages ?? []).map((message) => message.content ?? {})];
  const inBlocks = blocks.flatMap((block) => [block.text, block.resource?.text ?? block.resource?.blob]);
  const inContents = (result.contents ?? []).map((content) => content.text ?? content.blob);
  return [...inBlocks, ...inContents].filter((text) => text !== undefined).map(String);
}

/** Compares what was seen with what the play expects; an empty list is a pass. */
export function problems(expect, seen) {
  if (expect.error) return seen.error ? [] : ["expected an error, got a result"];
  if (seen.error) return [`unexpected error: ${seen.error}: ${seen.text ?? ""}`];
  const found = [];
  for (const name of expect.names ?? [])
    if (!seen.names?.includes(name)) found.push(`${name} is not listed among ${JSON.stringify(seen.names)}`);
  for (const text of expect.text ?? [])
    if (!seen.text?.includes(text)) found.push(`"${text}" is not in "${(seen.text ?? "").slice(0, 200)}"`);
  for (const [key, value] of Object.entries(expect.structured ?? {}))
    if (JSON.stringify(seen.structured?.[key]) !== JSON.stringify(value))
      found.push(`structuredContent.${key} is not ${JSON.stringify(value)} in ${JSON.stringify(seen.structured)}`);
  for (const value of expect.values ?? [])
    if (!seen.values?.includes(value)) found.push(`"${value}" is not completed among ${JSON.stringify(seen.values)}`);
  if (expect.progress !== undefined) found.push(...progressProblems(expect.progress, seen.progress ?? []));
  for (const text of expect.logs ?? [])
    if (!seen.logs?.some((log) => log.includes(text)))
      found.push(`"${text}" is in none of the log messages ${JSON.stringify(seen.logs)}`);
  if (expect.cancelled && !seen.cancelled) found.push("the call ended with a result although it was cancelled");
  return found;
}

/** Progress must arrive, and must rise with every notification. */
function progressProblems(wanted, values) {
  if (values.length < wanted) return [`${values.length} progress notifications, expected ${wanted}`];
  if (values.some((value, at) => at > 0 && value <= values[at - 1])) return [`progress does not rise: ${values}`];
  return [];
}

export function inWords(seen) {
  if (seen.error) return `${seen.error}: ${seen.text ?? ""}`.slice(0, 200);
  if (seen.names?.length) return `${seen.names.length} listed`;
  if (seen.progress) return `progress ${seen.progress}`;
  if (seen.logs?.length) return `logged ${JSON.stringify(seen.logs)}`.slice(0, 200);
  if (seen.values?.length) return `completes to ${seen.values}`;
  return (seen.note || seen.text || "answered").slice(0, 120);
}

/** Makes a change until its notification arrives. A stream that is only just opening may miss the first one. */
export async function untilChanged(change, changed) {
  for (let attempt = 1; attempt <= CHANGE_ATTEMPTS; attempt += 1) {
    const seen = await change();
    if (seen.error) return seen;
    const pause = new Promise((resolve) => setTimeout(resolve, CHANGE_MILLISECONDS, false));
    if (await Promise.race([changed.then(() => true), pause])) return { note: `told of change ${attempt}` };
  }
  return { error: "not told", text: `no notification after ${CHANGE_ATTEMPTS} changes` };
}

const after = (seconds) =>
  new Promise((_, reject) => {
    setTimeout(() => reject(new Error("no answer in time")), seconds * 1000).unref();
  });

/** Calls until the log messages are heard, which may be a moment after the answer. A message on a pipe does not say
 * which call it belongs to, so a gateway may have to drop it while other clients' calls are in flight. */
export async function untilLogged(call, logs, wanted) {
  const heard = () => wanted.every((text) => logs.some((log) => log.includes(text)));
  let seen;
  for (let attempt = 0; attempt < CHANGE_ATTEMPTS; attempt += 1) {
    seen = await call();
    const deadline = performance.now() + CHANGE_MILLISECONDS;
    while (!seen.error && !heard() && performance.now() < deadline)
      await new Promise((resolve) => setTimeout(resolve, 20));
    if (seen.error || heard()) break;
  }
  return { ...seen, logs: [...logs] };
}

/** Runs the steps one after another; a failed step does not stop the next one. What a server does not announce
 * cannot be driven: such a step does not apply. */
export async function perform(job, perStep) {
  for (const step of job.steps) {
    const started = performance.now();
    try {
      const seen = await Promise.race([perStep(step), after(step.seconds)]);
      if (seen.notOffered) {
        report(job, step.step, null, seen.notOffered, started);
        continue;
      }
      const wrong = problems(step.expect ?? {}, seen);
      report(job, step.step, wrong.length === 0, wrong.join("; ") || inWords(seen), started);
    } catch (error) {
      // A JSON-RPC error carries a number; anything else is the SDK giving up, which no play expects.
      if (typeof error.code === "number") {
        const seen = { error: `code ${error.code}`, text: error.message };
        const wrong = problems(step.expect ?? {}, seen);
        report(job, step.step, wrong.length === 0, wrong.join("; ") || inWords(seen), started);
      } else {
        report(job, step.step, false, `${error.name}: ${error.code ?? ""} ${error.message}`, started);
      }
    }
  }
}
