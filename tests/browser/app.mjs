// The server under test: the real binary on a directory of its own, killed and started again as a test likes.

import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { eventually } from "./report.mjs";

const UP_WITHIN_MS = 30_000;
const LOG_LINES = 40;

export class App {
  /** @type {import("node:child_process").ChildProcess|undefined} */
  #process;
  /** What it last said, for a person who reads why it failed. @type {string[]} */
  log = [];
  /** How it ended although nobody wanted it to. */
  died = "";
  /** While it is away on purpose, pages may complain about the network. */
  down = true;
  join = "";
  admin = "";
  data = "";

  /** @param {string} binary @param {Record<string, string>} [settings] of the environment @param {string[]} [args] */
  constructor(binary, settings = {}, args = []) {
    this.binary = resolve(binary);
    this.settings = settings;
    this.args = args;
    this.directory = mkdtempSync(join(tmpdir(), "groundswell-browser-"));
  }

  /** On the same directory and, after the first time, the same port: the pages that are open find it again. */
  async up() {
    const port = this.join ? new URL(this.join).port : "0";
    const env = { ...process.env, PORT: port, METRICS_PORT: "0", HOST: "127.0.0.1", DATA_DIR: this.directory };
    // The browser test is about the embedded server, whatever the caller has set for others.
    for (const key of Object.keys(env)) if (/^(GROUNDSWELL_|DATABASE_URL|AMQP_URL|PUBLIC_URL|TRUSTED_PROXIES)/.test(key)) delete env[key];
    Object.assign(env, this.settings);
    this.join = "";
    this.#process = spawn(this.binary, this.args, { env, cwd: this.directory, stdio: ["ignore", "pipe", "pipe"] });
    const gone = { said: "" };
    this.#process.on("error", (error) => { gone.said = String(error); });
    this.#process.on("exit", (code, signal) => {
      gone.said = `it ended with ${code ?? signal}`;
      if (!this.down) this.died = gone.said;
    });
    for (const stream of [this.#process.stdout, this.#process.stderr]) createInterface({ input: stream }).on("line", (line) => this.#read(line));
    await eventually("the server says where it is", async () => {
      if (gone.said) throw new Error(`the server did not start: ${gone.said}\n${this.log.join("\n")}`);
      return this.join && (await fetch(new URL("/livez", this.join)).then((answer) => answer.ok, () => false));
    }, UP_WITHIN_MS);
    this.down = false;
  }

  /** @param {string} line */
  #read(line) {
    this.log = [...this.log, line].slice(-LOG_LINES);
    const [, what, value = ""] = line.match(/^ {2}(join|admin|data) +(\S.*)$/) ?? [];
    // Behind an address there may be a remark.
    if (what === "join") this.join = value.split(" ")[0];
    if (what === "admin") this.admin = value.split(" ")[0];
    if (what === "data") this.data = value;
  }

  /** As a power cut: no goodbye. @param {NodeJS.Signals} signal */
  async kill(signal = "SIGKILL") {
    this.down = true;
    const process = this.#process;
    if (!process || process.exitCode !== null || process.signalCode !== null) return;
    const gone = new Promise((resolve) => process.once("exit", resolve));
    process.kill(signal);
    await gone;
  }

  /** For the very end, however it comes: nothing can be waited for. */
  remove() {
    this.#process?.kill("SIGKILL");
    rmSync(this.directory, { recursive: true, force: true, maxRetries: 3 });
  }
}
