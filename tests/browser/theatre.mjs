// A stage without a server: the pages as they lie in static/, and an API that says what a scene wants it to say.
// For looking at states that are hard to reach, such as a million voters. What the product does is tested in run.mjs.

import { readFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".png": "image/png", ".json": "application/json", ".webmanifest": "application/manifest+json" };
/** Read where it is written, so that what the policy refuses is refused here too. */
const CSP = readFileSync(join(ROOT, "src/http/mod.rs"), "utf8").match(/const CSP: &str = "([^"]+)"/)?.[1] ?? "";

/**
 * @typedef {(call: {method:string, path:string, body:any, query?:URLSearchParams}) => {status?:number, json?:any, stream?:any, svg?:string, hang?:boolean, silent?:boolean}|undefined} Api
 *   `hang`: the line is cut. `silent`: nobody answers.
 */

export class Theatre {
  /** @type {Api} */
  api = () => undefined;
  /** @type {Set<import("node:http").ServerResponse>} */
  #open = new Set();

  async up() {
    this.server = createServer((request, response) => this.#answer(request, response).catch((error) => response.writeHead(500).end(String(error))));
    await new Promise((resolve) => this.server?.listen(0, "127.0.0.1", () => resolve(undefined)));
    const address = /** @type {import("node:net").AddressInfo} */ (this.server.address());
    this.home = `http://127.0.0.1:${address.port}`;
    return this;
  }

  /** @param {import("node:http").IncomingMessage} request @param {import("node:http").ServerResponse} response */
  async #answer(request, response) {
    const { pathname: path, searchParams } = new URL(request.url ?? "/", this.home);
    response.setHeader("content-security-policy", CSP);
    if (path.startsWith("/api/")) return this.#perform(request, response, path.slice("/api/v1/".length), searchParams);
    const page = path.startsWith("/admin") ? "admin/index.html" : path.startsWith("/present") ? "present/index.html"
      : path.startsWith("/overlay") ? "overlay/index.html" : path.startsWith("/embed") ? "overlay/index.html" : "vote/index.html";
    const file = path.startsWith("/assets/") ? normalize(path.slice("/assets/".length)) : page;
    const bytes = await readFile(join(ROOT, "static", file)).catch(() => null);
    if (!bytes) return response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[/** @type {keyof typeof TYPES} */ (extname(file))] ?? "application/octet-stream" }).end(bytes);
  }

  /** @param {import("node:http").IncomingMessage} request @param {import("node:http").ServerResponse} response @param {string} path @param {URLSearchParams} query */
  async #perform(request, response, path, query) {
    let text = "";
    for await (const chunk of request) text += chunk;
    const said = this.api({ method: request.method ?? "GET", path, query, body: request.headers["content-type"] === "application/json" ? JSON.parse(text) : null }); // a picture is a body, too
    if (said?.hang) return request.socket.destroy();
    if (said?.silent) return;
    if (said?.svg) return response.writeHead(200, { "content-type": "image/svg+xml" }).end(said.svg);
    if (said?.stream) {
      this.#open.add(response);
      response.on("close", () => this.#open.delete(response));
      response.writeHead(200, { "content-type": "text/event-stream" }).write(`event: live\ndata: ${JSON.stringify(said.stream)}\n\n`);
      return;
    }
    if (!said) return response.writeHead(404, { "content-type": "application/problem+json" }).end(JSON.stringify({ code: path.startsWith("live/") ? "event_unknown" : "nothing_here", detail: "There is nothing here.", status: 404 }));
    response.writeHead(said.status ?? 200, { "content-type": (said.status ?? 200) >= 400 ? "application/problem+json" : "application/json" }).end(said.status === 204 ? undefined : JSON.stringify(said.json));
  }

  /** The server goes away, as far as streams can tell. */
  hangUp() {
    for (const response of this.#open) response.destroy();
  }

  down() {
    this.hangUp();
    this.server?.closeAllConnections();
    return new Promise((resolve) => this.server?.close(resolve));
  }
}
