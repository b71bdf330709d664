// The network between phones and the server: it counts what is asked, can be cut, and answers by itself what a test wants answered. And one
// between a server and its database, which can be held.

import { createServer, request } from "node:http";
import { connect, createServer as createRelay } from "node:net";

/**
 * @typedef {{method:string, path:string, at:number, until:number, status:number, bytes:number}} Asked `status` 0: not answered
 * @typedef {{status:number, headers?:Record<string, string>, body?:string|object}} Said
 */

export class Wire {
  /** @type {Asked[]} */
  asked = [];
  isCut = false;
  /** The next answer from such an address gets lost on its way. @type {RegExp|null} */
  loses = null;
  /** What is asked of such an address by POST gets as far as here, and neither on nor back. @type {RegExp|null} */
  holds = null;
  /** @type {Set<import("node:net").Socket>} */
  #held = new Set();
  /** Says it instead of the server. @type {(method:string, path:string, body:string) => Said|undefined} */
  instead = () => undefined;
  /** What the server said, changed on its way: text only, so nothing is compressed then. @type {((path:string, body:string, headers:Record<string, any>) => string)|null} */
  changes = null;

  /** @param {() => string} server where it is now */
  async up(server) {
    this.target = server;
    this.server = createServer((question, answer) => this.#pass(question, answer));
    await new Promise((resolve) => this.server?.listen(0, "127.0.0.1", () => resolve(undefined)));
    this.home = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (this.server.address()).port}/`;
    return this;
  }

  mend() {
    this.isCut = false;
    this.loses = this.changes = null;
    this.instead = () => undefined;
    this.letGo();
  }

  /** What was held gets no answer any more. */
  letGo() {
    this.holds = null;
    for (const socket of this.#held) socket.destroy();
    this.#held.clear();
  }

  down() {
    this.server?.closeAllConnections();
    this.server?.close();
  }

  /** What was asked since, without what is asked once a second anyway. @param {number} since an index into `asked` */
  files(since = 0) {
    return this.asked.slice(since).filter((one) => !one.path.startsWith("/api/"));
  }

  /** @param {RegExp} path @param {number} [since] @param {string} [method] */
  count(path, since = 0, method = "") {
    return this.asked.slice(since).filter((one) => path.test(one.path) && one.method.startsWith(method)).length;
  }

  /** @param {import("node:http").IncomingMessage} question @param {import("node:http").ServerResponse} answer */
  async #pass(question, answer) {
    const { method = "GET", url: path = "/" } = question;
    const asked = { method, path, at: performance.now(), until: Infinity, status: 0, bytes: 0 };
    answer.on("close", () => { asked.until = performance.now(); });
    this.asked.push(asked);
    if (this.isCut) return question.socket.destroy();
    let body = "";
    for await (const chunk of question) body += chunk;
    if (method === "POST" && this.holds?.test(path)) return void this.#held.add(question.socket);
    const said = this.instead(method, path, body);
    if (said) {
      asked.status = said.status;
      const isText = typeof said.body === "string";
      answer.writeHead(said.status, { "content-type": isText ? "text/plain" : said.status < 400 ? "application/json" : "application/problem+json", ...said.headers });
      answer.end(isText ? said.body : JSON.stringify(said.body ?? {}));
      return;
    }
    const home = this.target?.();
    if (!home) return question.socket.destroy(); // the server is starting again, and has not yet said where it is
    const to = new URL(path, home);
    const headers = { ...question.headers };
    if (this.changes) for (const name of ["accept-encoding", "if-none-match"]) delete headers[name];
    const passed = request({ host: to.hostname, port: to.port, path, method, headers }, (got) => {
      if (got.headers["content-type"]?.startsWith("text/event-stream")) {
        // As it comes: it has no end to wait for.
        asked.status = got.statusCode ?? 0;
        got.on("error", () => question.socket.destroy());
        answer.on("close", () => got.destroy());
        got.pipe(answer.writeHead(asked.status, got.headers));
        return;
      }
      const chunks = /** @type {Buffer[]} */ ([]);
      got.on("data", (chunk) => chunks.push(chunk));
      got.on("error", () => question.socket.destroy());
      got.on("end", () => {
        const isLost = this.loses?.test(path);
        if (isLost) this.loses = null;
        if (isLost || this.isCut) return question.socket.destroy();
        let bytes = Buffer.concat(chunks);
        const back = /** @type {Record<string, any>} */ ({ ...got.headers });
        if (this.changes) bytes = Buffer.from(this.changes(path, bytes.toString(), back));
        if (method !== "HEAD") back["content-length"] = String(bytes.length);
        delete back["transfer-encoding"];
        asked.status = got.statusCode ?? 0;
        asked.bytes = bytes.length;
        answer.writeHead(asked.status, back).end(bytes);
      });
    });
    passed.on("error", () => question.socket.destroy());
    passed.end(body);
  }
}

/** The way to a server that does not speak HTTP. While it is held nothing gets through, and nobody is told. */
export class Cable {
  /** @type {Set<import("node:net").Socket>} */
  #ends = new Set();
  #isHeld = false;

  /** @param {string} host @param {number} port */
  async up(host, port) {
    this.relay = createRelay((near) => {
      const far = connect(port, host);
      for (const [end, other] of [[near, far], [far, near]]) {
        this.#ends.add(end);
        end.on("data", (bytes) => other.write(bytes));
        end.on("error", () => other.destroy());
        end.on("close", () => { this.#ends.delete(end); other.destroy(); });
        if (this.#isHeld) end.pause();
      }
    });
    await new Promise((resolve) => this.relay?.listen(0, "127.0.0.1", () => resolve(undefined)));
    this.port = /** @type {import("node:net").AddressInfo} */ (this.relay.address()).port;
    return this;
  }

  hold() {
    this.#isHeld = true;
    for (const end of this.#ends) end.pause();
  }

  mend() {
    this.#isHeld = false;
    for (const end of this.#ends) end.resume();
  }

  down() {
    this.relay?.close();
    for (const end of this.#ends) end.destroy();
  }
}
