// @ts-check
// A sidecar's own side of the protocol: `/manifest`, `/health`, `/deliver`, and its life from start to SIGTERM.

import { createServer } from "node:http";

import { Credentials } from "./credentials.js";
import { Daemon } from "./daemon.js";
import { Deliveries, readDelivery } from "./deliveries.js";
import { answer, readAll, same, saying, TooLong } from "./http.js";

const REQUEST_BYTES = 2 << 20;
const DETAIL_CHARS = 500;
const REQUEST_MS = 30_000;
/** The daemon kills a child ten seconds after it asked it to stop. */
const DRAIN_MS = 8_000;

/** Answers the daemon, and tells the bridge when to end. */
export class Sidecar {
  #settings;
  #deliveries;
  #capabilities;
  #stop = new AbortController();
  #server = createServer({ requestTimeout: REQUEST_MS }, (request, response) => void this.#handle(request, response));
  /** @type {{ status: "starting" | "ready" | "degraded", detail: string }} */
  #health = { status: "starting", detail: "" };

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {import("./deliveries.js").Deliver} deliver
   * @param {{ attachments_in?: boolean, attachments_out?: boolean, threads?: boolean }} capabilities
   */
  constructor(settings, deliver, capabilities) {
    this.#settings = settings;
    this.#capabilities = { attachments_in: true, attachments_out: true, threads: true, ...capabilities };
    this.#deliveries = new Deliveries(deliver, this.stopping);
    this.daemon = new Daemon(settings, this.stopping);
    this.credentials = new Credentials(this.daemon, settings.credentialKeys);
  }

  /** Aborted when the sidecar shall end. */
  get stopping() {
    return this.#stop.signal;
  }

  /**
   * Says how the bridge fares, from its last word with the platform.
   * @param {"ready" | "degraded"} status
   * @param {string} [detail]
   */
  report(status, detail = "") {
    if (status !== this.#health.status) console.error(status, detail);
    this.#health = { status, detail };
  }

  /**
   * Begins to answer.
   * @returns {Promise<number>} The port.
   */
  async start() {
    return listen(this.#server, this.#settings.listen);
  }

  /** Ends at SIGTERM, after `before`. Further signals change nothing: a service manager may send one to everybody. */
  endAtSignals(/** @type {() => Promise<void>} */ before) {
    const end = () => {
      if (this.stopping.aborted) return;
      this.#stop.abort();
      setTimeout(() => process.exit(0), DRAIN_MS + 1_000).unref();
      void before().then(() => this.stop()).finally(() => process.exit(0));
    };
    for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, end);
  }

  /** Ends what is under way in order, and then answers no more. */
  async stop() {
    this.#stop.abort();
    await this.#deliveries.drain(DRAIN_MS);
    await close(this.#server);
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  async #handle(request, response) {
    const { basePath } = this.#settings;
    const url = request.url ?? "";
    const path = url.startsWith(basePath) ? url.slice(basePath.length) : "";
    try {
      if (request.method === "GET" && path === "/manifest") answer(response, 200, this.#manifest());
      else if (request.method === "GET" && path === "/health") answer(response, 200, this.#fares());
      else if (request.method === "POST" && path === "/deliver") await this.#take(request, response);
      else answer(response, 404, { error: "there is nothing here" });
    } catch (error) {
      if (!response.headersSent) answer(response, error instanceof TooLong ? 413 : 400, { error: saying(error) });
    }
  }

  /**
   * @param {import("node:http").IncomingMessage} request
   * @param {import("node:http").ServerResponse} response
   */
  async #take(request, response) {
    const { sharedToken } = this.#settings;
    if (sharedToken !== null && !same(request.headers.authorization ?? "", `Bearer ${sharedToken}`)) {
      return answer(response, 401, { error: "the shared token is missing or wrong" });
    }
    const key = request.headers["idempotency-key"];
    const body = JSON.parse((await readAll(request, REQUEST_BYTES)).toString());
    const { status, detail = "", retryAfterMs } = await this.#deliveries.take(readDelivery(body, key?.toString()));
    const said = { status, detail: detail.slice(0, DETAIL_CHARS) };
    if (retryAfterMs === undefined) return answer(response, 200, said);
    answer(response, 429, said, { "retry-after": String(Math.max(1, Math.ceil(retryAfterMs / 1000))) });
  }

  #self() {
    return { protocol_version: 1, instance_id: this.#settings.instanceId };
  }

  #manifest() {
    return { ...this.#self(), capabilities: this.#capabilities, experimental: false };
  }

  #fares() {
    const { status, detail } = this.stopping.aborted ? { status: "draining", detail: "" } : this.#health;
    return { ...this.#self(), status, ...(detail && { detail: detail.slice(0, DETAIL_CHARS) }) };
  }
}

/**
 * Listens, and tells the port.
 * @param {import("node:http").Server} server
 * @param {import("./settings.js").Address} address
 * @returns {Promise<number>}
 */
export function listen(server, { host, port }) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve(/** @type {import("node:net").AddressInfo} */ (server.address()).port);
    });
  });
}

/**
 * Takes no more, and waits for the answers that are under way.
 * @param {import("node:http").Server} server
 * @returns {Promise<void>}
 */
export function close(server) {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}
