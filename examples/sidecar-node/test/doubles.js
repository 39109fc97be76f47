// @ts-check
// The daemon and GitHub, by script.

import { createHmac } from "node:crypto";
import { createServer } from "node:http";

import { answer, readAll } from "../kheish/http.js";
import { listen } from "../kheish/sidecar.js";

export const TOKEN = "shared-token";
export const CREDENTIAL_TOKEN = "credential-token";
export const SECRET = "webhook-secret";

/** @typedef {Record<string, any>} Json */

/**
 * A server that ends with the test.
 * @param {import("node:test").TestContext} test
 * @param {(request: import("node:http").IncomingMessage, response: import("node:http").ServerResponse) => unknown} handle
 */
export async function serve(test, handle) {
  const server = createServer(handle);
  const port = await listen(server, { host: "127.0.0.1", port: 0 });
  test.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${port}`;
}

/**
 * The daemon's routes for sidecars, with receipts.
 * @param {import("node:test").TestContext} test
 */
export async function daemon(test) {
  const stub = {
    url: "",
    /** @type {Json[]} Those that became runs. */
    events: [],
    /** @type {{ path: string, body: Json | null }[]} */
    requests: [],
    /** @type {(number | "drop")[]} For the next requests: a status, or taking in what comes and saying nothing. */
    failures: [],
    /** So many items of batches are told to come again. */
    limitItems: 0,
    speaks: 2,
    /** @type {Record<string, string>} */
    secrets: { GITHUB_WEBHOOK_SECRET: SECRET, GITHUB_TOKEN: "token" },
    leaseMs: 300_000,
  };
  const take = (/** @type {Json} */ event, /** @type {number} */ version) => {
    if (version > stub.speaks) return { status: "rejected", reason: `unsupported protocol_version ${version}` };
    if (event.content === "homeless") return { status: "error", reason: "its session may not be made" };
    if (event.content === "poison") return { status: "rejected", reason: "a bound" };
    const known = stub.events.findIndex((one) => one.event_id === event.event_id);
    if (known >= 0) return { status: "duplicate", run_id: `run_${known}` };
    stub.events.push(event);
    return { status: "accepted", run_id: `run_${stub.events.length - 1}` };
  };
  const takeAll = (/** @type {Json} */ body) => body.events.map((/** @type {Json} */ event) => {
    if (stub.limitItems <= 0) return take(event, body.protocol_version);
    stub.limitItems -= 1;
    return { status: "rate_limited", retry_after_ms: 1 };
  });
  stub.url = await serve(test, async (request, response) => {
    const path = request.url ?? "";
    const raw = (await readAll(request, 8 << 20)).toString();
    const body = raw ? JSON.parse(raw) : null;
    stub.requests.push({ path, body });
    const isLease = path.includes("/credentials/");
    if (request.headers.authorization !== `Bearer ${isLease ? CREDENTIAL_TOKEN : TOKEN}`) return answer(response, 401, {});
    const failure = stub.failures.shift();
    if (typeof failure === "number") return answer(response, failure, {}, failure === 429 ? { "retry-after": "0" } : {});
    if (isLease) {
      const value = stub.secrets[path.split("/").at(-1) ?? ""];
      return answer(response, 200, { value, lease_id: "l", grant_id: "g", expires_at_ms: Date.now() + stub.leaseMs });
    }
    const said = path.endsWith("/batch") ? { results: takeAll(body) } : take(body, body.protocol_version);
    if ("status" in said && said.status === "error") return answer(response, 409, { code: "session_not_found" });
    if (failure === "drop") return request.socket.destroy();
    answer(response, 200, said);
  });
  return stub;
}

/**
 * A sidecar's settings with such a daemon.
 * @param {{ url: string }} stub
 * @param {Partial<import("../kheish/settings.js").Settings>} [more]
 * @returns {import("../kheish/settings.js").Settings}
 */
export function settings(stub, more = {}) {
  return {
    name: "github", basePath: "", listen: { host: "127.0.0.1", port: 0 }, daemonBaseUrl: stub.url, sharedToken: TOKEN,
    credentialToken: CREDENTIAL_TOKEN, credentialKeys: new Set(["GITHUB_WEBHOOK_SECRET", "GITHUB_TOKEN"]),
    instanceId: "i-1", ...more,
  };
}

/**
 * GitHub's API: takes comments, and lists them.
 * @param {import("node:test").TestContext} test
 */
export async function gitHub(test) {
  const api = {
    url: "",
    token: "token",
    /** @type {{ path: string, body: string }[]} */
    comments: [],
    /** @type {(number | "drop" | { status: number, headers: Record<string, string> })[]} For the next posts. */
    failures: [],
    lists: 0,
  };
  api.url = await serve(test, async (request, response) => {
    const path = (request.url ?? "").split("?")[0];
    const raw = (await readAll(request, 8 << 20)).toString();
    if (request.headers.authorization !== `Bearer ${api.token}`) return answer(response, 401, { message: "Bad credentials" });
    if (path === "/rate_limit") return answer(response, 200, {});
    if (request.method === "GET") {
      api.lists += 1;
      return answer(response, 200, api.comments.filter((comment) => comment.path.startsWith(path)));
    }
    const failure = api.failures.shift();
    if (typeof failure === "number") return answer(response, failure, { message: "no" });
    if (typeof failure === "object") return answer(response, failure.status, { message: "no" }, failure.headers);
    api.comments.push({ path, body: JSON.parse(raw).body });
    if (failure === "drop") return request.socket.destroy();
    answer(response, 201, { html_url: `https://github.example/c/${api.comments.length}` });
  });
  return api;
}

/** @param {string | Buffer} body */
export function signature(body, secret = SECRET) {
  return `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
}

/**
 * A comment on an issue, as GitHub tells of it.
 * @param {Json} [change]
 */
export function comment(change = {}) {
  return {
    action: "created",
    repository: { full_name: "acme/shop" },
    sender: { login: "ann", type: "User" },
    issue: { number: 7, title: "It is broken" },
    comment: {
      body: "Does it work?", author_association: "MEMBER", html_url: "https://github.example/acme/shop/issues/7#c1",
      created_at: "2026-09-01T08:00:00Z",
    },
    ...change,
  };
}
