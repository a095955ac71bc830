// What Node's HTTP server (llhttp) takes from raw connections. Arguments: the file with the connections, one
// base64 text each, and `strict` or `lenient`. Prints the requests that were whole: method, target, body.
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";

const SILENCE_MS = 2000;

const [file, mode] = process.argv.slice(2);
const verdicts = [];
for (const text of JSON.parse(readFileSync(file, "utf8"))) {
  verdicts.push(await taken(Buffer.from(text, "base64")));
}
console.log(JSON.stringify(verdicts));

async function taken(bytes) {
  const found = [];
  const server = http.createServer({ insecureHTTPParser: mode === "lenient" }, (request, response) => {
    const parts = [];
    request.on("error", () => {});
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      found.push([request.method, request.url, Buffer.concat(parts).toString("latin1")]);
      response.end();
    });
  });
  server.on("clientError", (_error, socket) => socket.destroy());
  server.on("connect", (request, socket) => {
    found.push([request.method, request.url, ""]);
    socket.destroy();
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  await new Promise((done) => {
    const client = net.connect(server.address().port, "127.0.0.1", () => client.end(bytes));
    client.on("error", () => {}).on("close", done).resume();
    client.setTimeout(SILENCE_MS, () => client.destroy());
  });
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
  return found;
}
