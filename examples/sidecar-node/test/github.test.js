// @ts-check
// The bridge: what webhooks become, and the way there and back through doubles of GitHub and of the daemon.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Bridge } from "../github/bridge.js";
import { render } from "../github/render.js";
import { comments, isOwn, readRoute } from "../github/route.js";
import { gitHubSettings } from "../github/settings.js";
import { isSigned } from "../github/webhook.js";
import { WrongSetting } from "../kheish/settings.js";
import { comment, daemon, gitHub, settings, signature, TOKEN } from "./doubles.js";

const ENV = { GITHUB_LISTEN: "127.0.0.1:0" };
const SETTINGS = gitHubSettings(ENV);
const DELIVERY = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

/** @param {string} name @param {Record<string, any>} payload @param {Record<string, string>} [env] */
const rendered = (name, payload, env) => render(name, DELIVERY, payload, env ? gitHubSettings({ ...ENV, ...env }) : SETTINGS);

test("a signature is that of the very bytes", () => {
  // The example of GitHub's documentation.
  const documented = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
  const [body, secret] = [Buffer.from("Hello, World!"), "It's a Secret to Everybody"];
  assert.ok(isSigned(body, documented, secret));
  for (const [bytes, header, key] of /** @type {[string, string | undefined, string][]} */ ([
    ["Hello, World", documented, secret], ["Hello, World!", documented, "other"], ["Hello, World!", undefined, secret],
    ["Hello, World!", documented.slice(0, -1), secret], ["Hello, World!", documented.toUpperCase(), secret],
    ["Hello, World!", documented.replace("sha256", "sha1"), secret], ["Hello, World!", "sha256=", secret],
  ])) assert.ok(!isSigned(Buffer.from(bytes), header, key), header);
});

test("a webhook is always the same event, and an issue is a conversation", () => {
  const event = {
    event_id: DELIVERY, actor_id: "ann", source_kind: "github", thread: { path: ["acme/shop", "7"] },
    content: "ann commented on issue #7: It is broken\n\nDoes it work?\n\nhttps://github.example/acme/shop/issues/7#c1",
    reply_route: '{"repository":"acme/shop","number":7}', occurred_at_ms: Date.parse("2026-09-01T08:00:00Z"),
    metadata: {
      event: "issue_comment", action: "created", repository: "acme/shop", number: 7,
      url: "https://github.example/acme/shop/issues/7#c1", author_association: "MEMBER",
    },
  };
  assert.deepEqual(rendered("issue_comment", comment()), { event });
});

test("each sort of webhook has its words", () => {
  const pull = { number: 8, title: "Mend it", head: { label: "ann:mend" }, base: { ref: "main" }, author_association: "OWNER" };
  const said = { author_association: "OWNER", body: "b", id: 5, path: "a.rs", line: 3, state: "changes_requested" };
  const base = { ...comment(), pull_request: pull, review: said, comment: said };
  const words = (/** @type {string} */ name, /** @type {string} */ action, change = {}) => {
    const read = rendered(name, { ...base, action, ...change }, { GITHUB_EVENTS: name });
    return "event" in read ? [read.event.content?.split("\n")[0], readRoute(read.event.reply_route ?? "")] : [read.ignored];
  };
  const at = { repository: "acme/shop", number: 8 };
  const issue = { number: 7, title: "It is broken", author_association: "OWNER" };
  assert.deepEqual(words("issues", "opened", { issue }), ["ann opened issue #7: It is broken", { ...at, number: 7 }]);
  assert.deepEqual(words("pull_request", "opened"), ["ann opened pull request #8: Mend it (ann:mend into main)", at]);
  const merged = { pull_request: { ...pull, merged: true } };
  assert.match(String(words("pull_request", "closed", merged)[0]), /^ann merged pull/);
  assert.deepEqual(words("pull_request_review", "submitted"), ["ann reviewed pull request #8: Mend it (changes requested)", at]);
  const line = "ann commented on a.rs:3 in pull request #8: Mend it";
  assert.deepEqual(words("pull_request_review_comment", "created"), [line, { ...at, reviewComment: 5 }]);
  const inThread = { comment: { ...said, in_reply_to_id: 4 } };
  assert.deepEqual(words("pull_request_review_comment", "created", inThread), [line, { ...at, reviewComment: 4 }]);
  assert.match(String(words("issue_comment", "edited", { issue })[0]), /^ann edited a comment on issue #7/);
  for (const name of ["watch", "constructor", "__proto__"]) assert.match(String(words(name, "started")[0]), /of no sort/);
  for (const name of Object.keys({ issues: 0, issue_comment: 0, pull_request: 0, pull_request_review: 0 })) {
    assert.ok("ignored" in rendered(name, {}, { GITHUB_EVENTS: name }), "what lacks everything breaks nothing");
  }
});

test("what is not for the bridge is left out", () => {
  const by = (/** @type {object} */ sender) => comment({ sender });
  const saying = (/** @type {object} */ change) => comment({ comment: { ...comment().comment, ...change } });
  const own = comments("kheish:d", "An answer.")[0].body;
  for (const [payload, env] of /** @type {[object, Record<string, string>?][]} */ ([
    [comment({ action: "deleted" })], [by({ login: "other[bot]", type: "Bot" })], [saying({ body: own })],
    [saying({ author_association: "NONE" })], [saying({ author_association: undefined })], [comment(), { GITHUB_EVENTS: "issues" }],
  ])) assert.ok("ignored" in rendered("issue_comment", payload, env), JSON.stringify(payload));
  for (const [payload, env] of /** @type {[object, Record<string, string>?][]} */ ([
    [by({ login: "other[bot]", type: "Bot" }), { GITHUB_BOTS: "true" }], [saying({ body: `> ${own}\n\nWhy?` })],
    [saying({ author_association: "NONE" }), { GITHUB_ASSOCIATIONS: "*" }],
  ])) assert.ok("event" in rendered("issue_comment", payload, env), JSON.stringify(payload));
});

test("long answers become several comments, none of them beyond the limit", () => {
  const text = `${"a line of words\n".repeat(5_000)}${"\u{1F600}".repeat(20_001)}`;
  const parts = comments("kheish:d", text);
  assert.ok(parts.length > 3 && parts.every(({ body }) => body.length < 65_000 && isOwn(body)));
  assert.equal(new Set(parts.map(({ mark }) => mark)).size, parts.length);
  const whole = parts.map(({ body, mark }) => body.replace(`\n\n${mark}`, "")).join("");
  assert.equal(whole.replaceAll("\n", ""), text.replaceAll("\n", ""));
  assert.deepEqual(parts, comments("kheish:d", text));
  const halved = comments("k", `x${"\u{1F600}".repeat(20_000)}`);
  assert.ok(halved.every(({ body }) => Buffer.from(body).toString() === body), "no character is cut in two");
  assert.equal(comments("k", "short").length, 1);
});

test("routes lead nowhere else", () => {
  assert.deepEqual(readRoute("acme/shop.js#7"), { repository: "acme/shop.js", number: 7 });
  for (const written of [
    "", "acme#7", "7", "null", '{"repository":"acme/../x","number":7}', '{"repository":"a/b/c","number":7}',
    '{"repository":"a/..","number":7}', '{"repository":"a/b","number":"7"}', '{"repository":"a/b","number":-1}',
    '{"repository":"a/b","number":1,"reviewComment":"x"}', '{"repository":"a/b?x=","number":1}',
  ]) assert.throws(() => readRoute(written), TypeError, written);
  assert.throws(() => gitHubSettings({}), WrongSetting);
});

/** @param {import("node:test").TestContext} t */
async function whole(t) {
  t.mock.method(console, "error", () => undefined);
  const [stub, api] = [await daemon(t), await gitHub(t)];
  const bridge = new Bridge(settings(stub), gitHubSettings({ ...ENV, GITHUB_API_URL: api.url }));
  const ports = await bridge.start();
  t.after(async () => {
    await bridge.sidecar.stop();
    await bridge.close();
  });
  /** @param {string | Buffer} body @param {Record<string, string>} [change] @param {string} [path] */
  const hook = async (body, change = {}, path = "/github") => {
    const headers = {
      "x-github-event": "issue_comment", "x-github-delivery": DELIVERY, "x-hub-signature-256": signature(body), ...change,
    };
    const got = await fetch(`http://127.0.0.1:${ports.webhooks}${path}`, { method: "POST", headers, body });
    return /** @type {Record<string, any>} */ ({ code: got.status, ...(/** @type {object} */ (await got.json())) });
  };
  /** @param {object} [change] */
  const deliver = async (change = {}) => {
    const body = JSON.stringify({ delivery_id: "d-1", attempt: 1, reply_route: "acme/shop#7", content: "Yes.", ...change });
    const headers = { authorization: `Bearer ${TOKEN}`, "idempotency-key": "kheish:d-1" };
    const got = await fetch(`http://127.0.0.1:${ports.port}/deliver`, { method: "POST", headers, body });
    const said = /** @type {object} */ (await got.json());
    return /** @type {Record<string, any>} */ ({ code: got.status, after: got.headers.get("retry-after"), ...said });
  };
  const health = async () => (await fetch(`http://127.0.0.1:${ports.port}/health`)).json();
  return { stub, api, bridge, hook, deliver, health };
}

test("a webhook is an event once, and its answer is the daemon's", async (t) => {
  const { stub, hook } = await whole(t);
  const body = JSON.stringify(comment());
  const first = await hook(body);
  assert.deepEqual([first.code, first.status, stub.events.length], [200, "accepted", 1]);
  stub.failures = [503, "drop"];
  const again = await hook(body);
  assert.deepEqual([again.code, again.status, stub.events.length], [200, "duplicate", 1], "redelivered by hand");
  const odd = Buffer.concat([Buffer.from(body.replace("Does it", "Does \xff it")), Buffer.from("\r\n \n")]);
  odd[odd.indexOf("\xff")] = 0xfe;
  const taken = await hook(odd, { "x-github-delivery": `${DELIVERY}-2` });
  assert.equal(taken.status, "accepted", "signed are the bytes, not what they say");
  assert.equal((await hook("{}", { "x-github-event": "ping" })).status, "pong");
  assert.deepEqual((await hook(JSON.stringify(comment({ action: "deleted" })))).code, 202);
});

test("who is not GitHub is refused before anything is parsed", async (t) => {
  const { stub, hook } = await whole(t);
  const body = JSON.stringify(comment());
  const unsigned = { "x-hub-signature-256": "" };
  assert.equal((await hook("{", unsigned)).code, 401);
  assert.equal((await hook(body, unsigned)).code, 401);
  assert.equal((await hook(body, { "x-hub-signature-256": signature(`${body} `) })).code, 401);
  assert.equal((await hook("{")).code, 400);
  assert.equal((await hook(body, { "x-github-delivery": "../.." })).code, 400);
  assert.equal((await hook(body, {}, "/elsewhere")).code, 404);
  assert.equal((await hook("x".repeat((5 << 20) + 1))).code, 413);
  assert.equal(stub.events.length, 0);
});

test("what the daemon does not take looks like a failure at GitHub", async (t) => {
  const { stub, hook, bridge } = await whole(t);
  const body = JSON.stringify(comment());
  await hook("{}", { "x-github-event": "ping" });
  stub.failures = [404];
  assert.equal((await hook(body)).code, 502);
  stub.speaks = 0;
  assert.equal((await hook(body)).code, 422);
  stub.speaks = 2;
  stub.failures = Array(100).fill(503);
  const waiting = hook(body);
  const before = stub.requests.length;
  while (stub.requests.length <= before) await new Promise((resolve) => setImmediate(resolve));
  await bridge.sidecar.stop();
  assert.equal((await waiting).code, 503, "also when the bridge stops meanwhile");
});

test("an answer is a comment, also when GitHub's own answer is lost", async (t) => {
  const { api, deliver } = await whole(t);
  api.failures = ["drop"];
  assert.equal((await deliver()).status, "retryable_error");
  assert.equal((await deliver({ attempt: 2 })).status, "committed");
  assert.deepEqual(api.comments.map(({ path }) => path), ["/repos/acme/shop/issues/7/comments"], "found by its mark");
  assert.match(api.comments[0].body, /^Yes\.\n\n<!-- kheish:/);
});

test("a replay by the operator finds what is there, and sends what is missing", async (t) => {
  const { api, deliver } = await whole(t);
  api.failures = [/** @type {any} */ (undefined), 502];
  const content = `${"x".repeat(30_000)}the end`;
  assert.equal((await deliver({ content })).status, "retryable_error");
  assert.equal((await deliver({ content, delivery_id: "d-2" })).status, "committed");
  assert.equal(api.comments.length, 2);
  assert.match(api.comments[1].body, /^the end\n/);
});

test("an answer to a review comment goes into its thread", async (t) => {
  const { api, deliver } = await whole(t);
  const route = '{"repository":"acme/shop","number":8,"reviewComment":5}';
  assert.equal((await deliver({ reply_route: route })).status, "committed");
  assert.equal(api.comments[0].path, "/repos/acme/shop/pulls/8/comments/5/replies");
});

test("GitHub's refusals are said to the daemon", async (t) => {
  const { api, deliver } = await whole(t);
  const reset = String(Math.floor(Date.now() / 1000) + 100);
  for (const [failure, code, status] of /** @type {[any, number, string][]} */ ([
    [404, 200, "terminal_error"], [422, 200, "terminal_error"], [403, 200, "terminal_error"], [502, 200, "retryable_error"],
    [{ status: 429, headers: { "retry-after": "7" } }, 429, "retryable_error"],
    [{ status: 403, headers: { "x-ratelimit-remaining": "0", "x-ratelimit-reset": reset } }, 429, "retryable_error"],
  ])) {
    api.failures = [failure];
    const said = await deliver();
    assert.deepEqual([said.code, said.status], [code, status], JSON.stringify(failure));
    if (code === 429) assert.ok(Number(said.after) >= 7);
  }
  assert.equal((await deliver({ reply_route: "nowhere" })).status, "terminal_error");
});

test("a rotated token is fetched, and health follows GitHub", async (t) => {
  const { stub, api, deliver, health } = await whole(t);
  const when = async (/** @type {string} */ status) => {
    while ((/** @type {any} */ (await health())).status !== status) await new Promise((resolve) => setImmediate(resolve));
  };
  await when("ready");
  api.token = "rotated";
  assert.equal((await deliver()).status, "retryable_error");
  await when("degraded");
  stub.secrets.GITHUB_TOKEN = "rotated";
  assert.equal((await deliver({ attempt: 2 })).status, "committed");
  await when("ready");
});
