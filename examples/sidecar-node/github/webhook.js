// @ts-check
// Takes webhooks: who sends them is known before anything is parsed, and the answer waits for the daemon's.

import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

import { Refused, Unavailable } from "../kheish/daemon.js";
import { answer, readAll, saying, TooLong } from "../kheish/http.js";
import { render } from "./render.js";
import { SECRET } from "./settings.js";

const REQUEST_MS = 15_000;
/** GitHub waits ten seconds for an answer. */
const PATIENCE_MS = 8_000;
const DELIVERY = /^[\w-]{8,100}$/;

/**
 * Whether GitHub signed these bytes.
 * @param {Buffer} body
 * @param {string | undefined} header
 * @param {string} secret
 */
export function isSigned(body, header, secret) {
  const sent = /^sha256=([0-9a-f]{64})$/.exec(header ?? "");
  const expected = createHmac("sha256", secret).update(body).digest();
  return sent !== null && timingSafeEqual(Buffer.from(sent[1], "hex"), expected);
}

/**
 * A server of webhooks.
 * @param {import("../kheish/sidecar.js").Sidecar} sidecar
 * @param {import("./settings.js").GitHubSettings} settings
 */
export function webhooks(sidecar, settings) {
  return createServer({ requestTimeout: REQUEST_MS }, async (request, response) => {
    let [status, said] = [500, /** @type {object} */ ({ error: "the bridge failed" })];
    try {
      [status, said] = await take(sidecar, settings, request);
    } catch (error) {
      if (error instanceof TooLong) [status, said] = [413, { error: error.message }];
      else console.error("a webhook failed:", error);
    }
    // A connection that has ended takes no answer.
    if (!response.destroyed) answer(response, status, said);
  });
}

/**
 * @param {import("../kheish/sidecar.js").Sidecar} sidecar
 * @param {import("./settings.js").GitHubSettings} settings
 * @param {import("node:http").IncomingMessage} request
 * @returns {Promise<[number, object]>}
 */
async function take(sidecar, settings, request) {
  if (request.url?.split("?")[0] !== settings.path) return [404, { error: "there is nothing here" }];
  if (request.method !== "POST") return [405, { error: "webhooks are posted" }];
  if (sidecar.stopping.aborted) return [503, { error: "the bridge stops" }];
  const body = await readAll(request, settings.bodyBytes);
  let secret;
  try {
    secret = await sidecar.credentials.get(SECRET);
  } catch (error) {
    console.error("there is no secret to check webhooks with:", saying(error));
    return [503, { error: "the bridge has no secret now: redeliver it later" }];
  }
  if (!isSigned(body, header(request, "x-hub-signature-256"), secret)) {
    return [401, { error: "the signature is missing or wrong" }];
  }
  const [name, delivery] = [header(request, "x-github-event") ?? "", header(request, "x-github-delivery") ?? ""];
  if (!name || !DELIVERY.test(delivery)) return [400, { error: "X-GitHub-Event or X-GitHub-Delivery is missing" }];
  if (name === "ping") return [200, { status: "pong" }];
  let payload;
  try {
    payload = JSON.parse(body.toString());
  } catch {
    return [400, { error: "this is no JSON: set the webhook's content type to application/json" }];
  }
  const rendered = render(name, delivery, payload ?? {}, settings);
  if ("ignored" in rendered) return [202, { status: "ignored", reason: rendered.ignored }];
  return pass(sidecar, rendered.event);
}

/**
 * GitHub does not try again by itself, so what is not taken has to look like a failure there.
 * @param {import("../kheish/sidecar.js").Sidecar} sidecar
 * @param {import("../kheish/daemon.js").KheishEvent} event
 * @returns {Promise<[number, object]>}
 */
async function pass(sidecar, event) {
  try {
    const { status, run_id, reason } = await sidecar.daemon.post(event, PATIENCE_MS);
    if (status === "rejected") console.error(`${event.event_id} is rejected: ${reason}`);
    return [status === "rejected" ? 422 : 200, { status, run_id, reason }];
  } catch (error) {
    console.error(`${event.event_id} is not taken: ${saying(error)}`);
    if (error instanceof Unavailable) return [503, { error: "the daemon takes no events now: redeliver it later" }];
    if (error instanceof Refused) return [502, { error: `the daemon answered ${error.status}` }];
    throw error;
  }
}

/**
 * @param {import("node:http").IncomingMessage} request
 * @param {string} name
 */
function header(request, name) {
  return request.headers[name]?.toString();
}
