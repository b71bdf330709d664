// A bucket behind a CDN: the files of `groundswell export static` and nothing else, sent as `headers.json` there says. It has no server behind it.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";

/** @typedef {{address:string, file:string, br:string, gzip:string, headers:Record<string, string>}} File */

export class Bucket {
  /** @type {{path:string, status:number, bytes:number}[]} */
  asked = [];
  isCut = false;

  /** @param {string} directory filled before anybody asks */
  async up(directory) {
    this.directory = directory;
    this.server = createServer((question, answer) => this.#answer(question, answer));
    await new Promise((resolve) => this.server?.listen(0, "127.0.0.1", () => resolve(undefined)));
    /** As browsers write it. */
    this.origin = `http://127.0.0.1:${/** @type {import("node:net").AddressInfo} */ (this.server.address()).port}`;
    return this;
  }

  down() {
    this.server?.closeAllConnections();
    this.server?.close();
  }

  /** A file under its own name, or the first rewrite that fits. @param {string} path @returns {File|undefined} */
  #file(path) {
    const { files, rewrites } = JSON.parse(readFileSync(join(this.directory ?? "", "headers.json"), "utf8"));
    const fits = (/** @type {string} */ from) => (from.endsWith("*") ? path.startsWith(from.slice(0, -1)) : from === path);
    const own = files.find((/** @type {File} */ one) => one.address === path);
    const to = rewrites.find((/** @type {{from:string}} */ one) => fits(one.from))?.to;
    return own ?? (path.startsWith("/assets/") ? undefined : files.find((/** @type {File} */ one) => one.address === to));
  }

  /** @param {import("node:http").IncomingMessage} question @param {import("node:http").ServerResponse} answer */
  #answer(question, answer) {
    const { pathname: path } = new URL(question.url ?? "/", this.origin);
    if (this.isCut) return question.socket.destroy();
    const file = question.method === "GET" || question.method === "HEAD" ? this.#file(path) : undefined;
    const isBrotli = /\bbr\b/.test(question.headers["accept-encoding"] ?? "");
    const bytes = file ? readFileSync(join(this.directory ?? "", isBrotli ? file.br : file.file)) : Buffer.from("no such file\n");
    this.asked.push({ path, status: file ? 200 : 404, bytes: bytes.length });
    answer.writeHead(file ? 200 : 404, { "content-length": bytes.length, ...(file ? file.headers : { "content-type": "text/plain" }), ...(file && isBrotli ? { "content-encoding": "br" } : {}) });
    answer.end(question.method === "HEAD" ? undefined : bytes);
  }
}
