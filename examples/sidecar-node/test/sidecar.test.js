// @ts-check
// The helper: events, deliveries and leases, against a stub of the daemon.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { Credentials } from "../kheish/credentials.js";
import { Daemon, Refused, Unavailable } from "../kheish/daemon.js";
import { settingsFromEnv, WrongSetting } from "../kheish/settings.js";
import { Sidecar } from "../kheish/sidecar.js";
import { daemon, settings, TOKEN } from "./doubles.js";

const event = (/** @type {number} */ number, content = "hello") => ({ event_id: `e-${number}`, content, routing_key: "r" });

/** @param {{ url: string }} stub @param {Partial<import("../kheish/settings.js").Settings>} [more] */
const client = (stub, more) => new Daemon(settings(stub, more), new AbortController().signal);

test("a busy daemon is asked again and has the event once", async (t) => {
  const stub = await daemon(t);
  stub.failures = [503, 429, "drop"];
  const result = await client(stub).post(event(1));
  assert.deepEqual([result.status, stub.events.length], ["duplicate", 1]);
  assert.equal(stub.events[0].instance_id, "i-1");
});

test("many events go in few requests, and results keep their order", async (t) => {
  const stub = await daemon(t);
  stub.limitItems = 3;
  const events = Array.from({ length: 150 }, (_, number) => event(number, number === 70 ? "poison" : "x"));
  const results = await client(stub).postAll(events);
  assert.deepEqual(results.flatMap(({ status }, index) => status === "accepted" ? [] : [[status, index]]), [["rejected", 70]]);
  assert.equal(new Set(stub.events.map((one) => one.event_id)).size, 149);
  const sizes = stub.requests.map(({ body }) => body?.events?.length ?? 1);
  assert.ok(Math.max(...sizes) <= 64 && sizes.length <= 4, String(sizes));
});

test("an event that cannot be taken holds no other up", async (t) => {
  const stub = await daemon(t);
  for (const failures of [[], [413]]) {
    stub.failures = failures;
    const results = await client(stub).postAll([event(1), event(2, "homeless"), event(3)], 5_000);
    assert.deepEqual(results.map(({ status }) => status === "rejected"), [false, true, false]);
    assert.match(results[1].reason ?? "", /session_not_found/);
  }
});

test("half a character holds nothing up", async (t) => {
  const stub = await daemon(t);
  await client(stub).post(event(1, "a\ud83db\u{1F600}"));
  assert.equal(stub.events[0].content, "a\ufffdb\u{1F600}");
});

test("large events go in several requests", async (t) => {
  const stub = await daemon(t);
  await client(stub).postAll(Array.from({ length: 4 }, (_, number) => event(number, "x".repeat(700_000))));
  assert.deepEqual(stub.requests.map(({ body }) => body?.events.length), [2, 2]);
});

test("an older daemon is spoken to as it speaks", async (t) => {
  const stub = await daemon(t);
  stub.speaks = 1;
  const daemonClient = client(stub);
  assert.equal((await daemonClient.post(event(1))).status, "accepted");
  await daemonClient.postAll([event(2), event(3)]);
  assert.deepEqual(stub.requests.map(({ body }) => body?.protocol_version), [2, 1, 1]);
});

test("a refusal is final, patience ends, and a stop ends the waiting", async (t) => {
  const stub = await daemon(t);
  await assert.rejects(client(stub, { sharedToken: "other" }).post(event(1)), Refused);
  assert.equal(stub.requests.length, 1);
  stub.failures = Array(100).fill(503);
  await assert.rejects(client(stub).post(event(1), 300), Unavailable);
  const stop = new AbortController();
  const waiting = new Daemon(settings(stub), stop.signal).post(event(1), 600_000);
  stop.abort();
  await assert.rejects(waiting, Unavailable);
  await assert.rejects(client(stub).post({ ...event(1), event_id: " " }), TypeError);
});

test("a lease is shared, renewed before its end, outlives a failure, and ends when it is revoked", async (t) => {
  const stub = await daemon(t);
  const credentials = new Credentials(client(stub), new Set(["GITHUB_TOKEN"]), {});
  const together = await Promise.all([1, 2, 3].map(() => credentials.get("GITHUB_TOKEN")));
  assert.deepEqual([together, stub.requests.length], [["token", "token", "token"], 1]);
  stub.secrets.GITHUB_TOKEN = "second";
  assert.equal(await credentials.get("GITHUB_TOKEN"), "token");
  credentials.forget("GITHUB_TOKEN");
  stub.leaseMs = 0;
  assert.equal(await credentials.get("GITHUB_TOKEN"), "second");
  stub.secrets.GITHUB_TOKEN = "third";
  stub.leaseMs = 300_000;
  assert.equal(await credentials.get("GITHUB_TOKEN"), "third", "renewed, because it was at its end");
  const at = Date.now();
  t.mock.method(Date, "now", () => at + 250_000);
  stub.failures = [503, 401];
  assert.equal(await credentials.get("GITHUB_TOKEN"), "third", "good for a while yet");
  await assert.rejects(credentials.get("GITHUB_TOKEN"), Refused);
  stub.failures = [503];
  await assert.rejects(credentials.get("GITHUB_TOKEN"), Unavailable, "a revoked lease is not used on");
});

test("a sidecar that was not started by the daemon reads its environment", async (t) => {
  const credentials = new Credentials(client(await daemon(t)), new Set(), { A: "plain", B_FILE: fileURLToPath(import.meta.url) });
  assert.equal(await credentials.get("A"), "plain");
  assert.match(await credentials.get("B"), /^\/\/ @ts-check/);
  await assert.rejects(credentials.get("C"), WrongSetting);
});

/**
 * @param {import("node:test").TestContext} t
 * @param {import("../kheish/deliveries.js").Deliver} deliver
 */
async function sidecar(t, deliver, basePath = "") {
  const one = new Sidecar(settings({ url: "http://127.0.0.1:1" }, { basePath }), deliver, {});
  const url = `http://127.0.0.1:${await one.start()}`;
  t.after(() => one.stop());
  const post = async (/** @type {string} */ body, key = "kheish:d-1", token = TOKEN, path = "/deliver") => {
    const headers = { authorization: `Bearer ${token}`, "idempotency-key": key };
    const got = await fetch(url + path, { method: "POST", body, headers });
    const said = /** @type {Record<string, any>} */ (await got.json());
    return /** @type {Record<string, any>} */ ({ code: got.status, after: got.headers.get("retry-after"), ...said });
  };
  const get = async (/** @type {string} */ path) => /** @type {Promise<any>} */ ((await fetch(url + path)).json());
  return { one, post, get };
}

const DELIVERY = JSON.stringify({
  protocol_version: 1, delivery_id: "d-1", attempt: 2, reply_route: "room", content: "hello", artifacts: [],
  parts: [{ type: "text", text: "hello" }, { type: "attachment", attachment: { id: "a" } }],
});

test("a delivery is read, its outcome said, and what arrived is not sent again", async (t) => {
  /** @type {import("../kheish/deliveries.js").Delivery[]} */
  const seen = [];
  /** @type {[import("../kheish/deliveries.js").Outcome, number, string | null][]} */
  const outcomes = [
    [{ status: "retryable_error", retryAfterMs: 1400 }, 429, "2"],
    [{ status: "terminal_error", detail: "never" }, 200, null],
    [{ status: "unknown" }, 200, null],
    [{ status: "committed", detail: "x".repeat(100_000) }, 200, null],
  ];
  const { post } = await sidecar(t, async (delivery) => outcomes[seen.push(delivery) - 1][0]);
  for (const [{ status }, code, after] of outcomes) {
    const said = await post(DELIVERY);
    assert.deepEqual([said.code, said.status, said.after], [code, status, after]);
    assert.ok(JSON.stringify(said).length < 1000, "answers are bounded");
  }
  assert.equal((await post(DELIVERY)).status, "committed");
  assert.equal(seen.length, 4);
  const expected = {
    key: "kheish:d-1", deliveryId: "d-1", attempt: 2, replyRoute: "room", text: "hello", attachments: [{ id: "a" }],
  };
  assert.deepEqual(seen[0], expected);
});

test("strangers, odd bodies and mistakes of the bridge", async (t) => {
  t.mock.method(console, "error", () => undefined);
  const { post } = await sidecar(t, async () => Promise.reject(new Error("a secret")));
  assert.equal((await post("{", "k", "wrong")).code, 401, "before anything is parsed");
  assert.equal((await post("{")).code, 400);
  assert.equal((await post("[]")).code, 400);
  assert.equal((await post("x".repeat(3 << 20))).code, 413);
  assert.equal((await post("{}", "k", TOKEN, "/elsewhere")).code, 404);
  const failed = await post(DELIVERY);
  assert.deepEqual([failed.code, failed.status, failed.detail], [200, "unknown", "the bridge failed"]);
});

test("attempts at once are one, and an end waits for it and takes no more", async (t) => {
  let [calls, open] = [0, () => {}];
  const gate = new Promise((resolve) => { open = () => resolve(undefined); });
  let enter = () => {};
  const entered = new Promise((resolve) => { enter = () => resolve(undefined); });
  const { one, post, get } = await sidecar(t, async () => {
    calls += 1;
    enter();
    await gate;
    return { status: "committed" };
  });
  const asked = [post(DELIVERY), post(DELIVERY), post(DELIVERY)];
  await entered;
  const ended = one.stop();
  assert.equal((await get("/health")).status, "draining");
  assert.equal((await post(DELIVERY, "kheish:late")).detail, "the sidecar stops");
  open();
  assert.deepEqual((await Promise.all(asked)).map(({ status }) => status), ["committed", "committed", "committed"]);
  await ended;
  assert.equal(calls, 1);
});

test("it says what it is and how it fares", async (t) => {
  t.mock.method(console, "error", () => undefined);
  const { one, get } = await sidecar(t, async () => ({ status: "committed" }), "/base");
  assert.deepEqual(await get("/base/manifest"), {
    protocol_version: 1, instance_id: "i-1", experimental: false,
    capabilities: { attachments_in: true, attachments_out: true, threads: true },
  });
  assert.equal((await get("/base/health")).status, "starting");
  one.report("degraded", "x".repeat(1000));
  const health = await get("/base/health");
  assert.deepEqual([health.status, health.detail.length], ["degraded", 500]);
  assert.ok((await get("/manifest")).error);
});

test("settings are those of a child", () => {
  const prefix = "KHEISH_EXTERNAL_CONNECTOR_";
  const env = {
    [`${prefix}NAME`]: "github", [`${prefix}BASE_URL`]: "http://127.0.0.1:9100", [`${prefix}SHARED_TOKEN`]: "t",
    [`${prefix}DAEMON_BASE_URL`]: "http://127.0.0.1:4000/", [`${prefix}CREDENTIAL_KEYS_JSON`]: '["A"]',
  };
  const read = settingsFromEnv(env);
  assert.deepEqual([read.listen, read.daemonBaseUrl], [{ host: "127.0.0.1", port: 9100 }, "http://127.0.0.1:4000"]);
  assert.ok(read.credentialKeys.has("A"));
  const wrong = [["NAME", ""], ["BASE_URL", "ftp://x:1"], ["BASE_URL", "http://127.0.0.1"], ["LISTEN", "x"]];
  for (const [name, value] of wrong) assert.throws(() => settingsFromEnv({ ...env, [prefix + name]: value }), WrongSetting);
  const open = { ...env, [`${prefix}SHARED_TOKEN`]: "", [`${prefix}LISTEN`]: "0.0.0.0:9100" };
  assert.throws(() => settingsFromEnv(open), WrongSetting);
});

test("a second signal does not cut short what the first one lets end", { timeout: 20_000 }, async (t) => {
  const stub = await daemon(t);
  const program = `
    import { Sidecar } from ${JSON.stringify(new URL("../kheish/sidecar.js", import.meta.url).href)};
    const settings = JSON.parse(process.env.SETTINGS ?? "");
    const deliver = () => new Promise((resolve) => {
      process.stdin.once("data", () => resolve({ status: "committed" }));
      console.log("delivering");
    });
    const sidecar = new Sidecar(settings, deliver, {});
    sidecar.stopping.addEventListener("abort", () => console.log("stopping"));
    sidecar.endAtSignals(async () => {});
    console.log(await sidecar.start());
  `;
  const given = { ...settings(stub), listen: { host: "127.0.0.1", port: 0 }, sharedToken: null };
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    env: { ...process.env, SETTINGS: JSON.stringify(given) }, stdio: ["pipe", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const port = Number((await lines.next()).value);
  const base = `http://127.0.0.1:${port}${given.basePath}`;
  const delivery = { delivery_id: "d-1", attempt: 1, reply_route: "r", content: "hello", parts: [], conversation: {} };
  const answered = fetch(`${base}/deliver`, {
    method: "POST", body: JSON.stringify(delivery), headers: { "idempotency-key": "k", "content-type": "application/json" },
  });
  const health = async () => /** @type {any} */ (await (await fetch(`${base}/health`)).json()).status;
  assert.equal((await lines.next()).value, "delivering");
  child.kill("SIGTERM");
  assert.equal((await lines.next()).value, "stopping");
  child.kill("SIGTERM");
  assert.equal(await health(), "draining");
  child.stdin.write("go\n");
  assert.equal(/** @type {any} */ (await (await answered).json()).status, "committed");
  const [code] = await once(child, "exit");
  assert.equal(code, 0);
});
