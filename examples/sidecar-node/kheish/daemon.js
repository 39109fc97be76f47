// @ts-check
// The daemon, as a sidecar calls it: events and leases.

import { setTimeout as sleep } from "node:timers/promises";

import { call, saying } from "./http.js";

const BATCH_EVENTS = 64;
const BATCH_BYTES = 1_500_000;
const ANSWER_BYTES = 1 << 20;
const TIMEOUT_MS = 15_000;
const FIRST_PAUSE_MS = 200;
const LONGEST_PAUSE_MS = 10_000;
const LONGEST_WAIT_MS = 60_000;
/** What is refused like this, is so because of the event, and others are taken. */
const OF_THE_EVENT = [400, 409, 413, 422];

/**
 * With its id the same content must come again, or the daemon rejects it; `occurred_at_ms` may differ.
 * @typedef {object} KheishEvent
 * @property {string} event_id
 * @property {string} [content]
 * @property {{ path: string[] }} [thread]
 * @property {string} [routing_key]
 * @property {string} [actor_id]
 * @property {string} [source_kind]
 * @property {string} [intent]
 * @property {{ kind: string, target_event_id: string }} [relation]
 * @property {number} [occurred_at_ms]
 * @property {object[]} [input_items]
 * @property {object[]} [attachments]
 * @property {string} [reply_route]
 * @property {Record<string, unknown>} [metadata]
 *
 * @typedef {object} Result
 * @property {"accepted" | "duplicate" | "rejected"} status
 * @property {string} [session_id]
 * @property {string} [run_id] Of a rejected event: the run of an earlier one, of other content, under its id.
 * @property {string} [reason]
 *
 * @typedef {Record<string, any>} Json
 */

/** The daemon could not be asked, or took nothing, for as long as was waited. What was sent may be sent again. */
export class Unavailable extends Error {}

/** The daemon takes it never, as it is: a wrong token, an unknown connector, a body that it cannot read. */
export class Refused extends Error {
  /** @param {number} status @param {string} text */
  constructor(status, text) {
    super(`the daemon answered ${status}: ${text}`);
    this.status = status;
  }
}

/** This attempt failed; the next one may not. */
class Busy extends Error {
  /** @param {string} reason @param {number} [waitMs] */
  constructor(reason, waitMs) {
    super(reason);
    this.waitMs = waitMs;
  }
}

/** Sends events until the daemon has them. */
export class Daemon {
  #settings;
  #stopping;
  #path;
  #version = 2;

  /**
   * @param {import("./settings.js").Settings} settings
   * @param {AbortSignal} stopping
   */
  constructor(settings, stopping) {
    this.#settings = settings;
    this.#stopping = stopping;
    this.#path = `${settings.daemonBaseUrl}/v1/connectors/external/${encodeURIComponent(settings.name)}`;
  }

  /**
   * Gives the daemon an event, again and again for so long. Its id makes that harmless.
   * @param {KheishEvent} event
   * @param {number} [patienceMs]
   * @returns {Promise<Result>}
   */
  async post(event, patienceMs) {
    return (await this.postAll([event], patienceMs))[0];
  }

  /**
   * The same for several, in few requests. Results are in the order of the events.
   * @param {KheishEvent[]} events
   * @param {number} [patienceMs]
   * @returns {Promise<Result[]>}
   */
  async postAll(events, patienceMs = 300_000) {
    if (events.some((event) => !event.event_id.trim())) {
      throw new TypeError("an event has no id: nothing would tell its repetition from another event");
    }
    /** @type {Map<number, Result>} */
    const results = new Map();
    /** @type {Set<number>} */
    const alone = new Set();
    let [deadline, pauseMs] = [Date.now() + patienceMs, FIRST_PAUSE_MS];
    while (results.size < events.length) {
      const chosen = firstBatch(events, results, alone);
      const { settled, odd = [], reason, waitMs } = await this.#postOnce(chosen.map((index) => events[index]));
      settled.forEach((result, place) => results.set(chosen[place], result));
      // By itself, an event that cannot be taken is told from a daemon that is busy.
      odd.forEach((place) => alone.add(chosen[place]));
      if (settled.size) [deadline, pauseMs] = [Date.now() + patienceMs, FIRST_PAUSE_MS];
      if (settled.size + odd.length === chosen.length) continue;
      const pause = waitMs === undefined ? pauseMs * (1 + Math.random()) / 2 : Math.min(waitMs, LONGEST_WAIT_MS);
      if (Date.now() + pause > deadline) throw new Unavailable(reason);
      await sleep(pause, undefined, { signal: this.#stopping }).catch(() => {
        throw new Unavailable("the sidecar stops");
      });
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
    }
    return events.map((_, index) => /** @type {Result} */ (results.get(index)));
  }

  /**
   * A credential.
   * @param {string} key
   * @returns {Promise<{ value: string, expiresAtMs: number }>}
   */
  async lease(key) {
    try {
      const url = `${this.#path}/credentials/${encodeURIComponent(key)}`;
      const said = await this.#ask(url, this.#settings.credentialToken);
      const [value, expiresAtMs] = [said.value, Number(said.expires_at_ms)];
      if (typeof value !== "string" || !Number.isFinite(expiresAtMs)) throw new Busy("the answer is no lease");
      return { value, expiresAtMs };
    } catch (error) {
      if (error instanceof Busy) throw new Unavailable(`no lease of ${key}: ${error.message}`);
      throw error;
    }
  }

  /**
   * One attempt, by place: what is settled, what has to go alone, and why and for how long the rest has to wait.
   * @param {KheishEvent[]} events
   * @returns {Promise<{ settled: Map<number, Result>, odd?: number[], reason: string, waitMs?: number }>}
   */
  async #postOnce(events) {
    /** @type {Map<number, Result>} */
    const settled = new Map();
    const [version, own] = [this.#version, { instance_id: this.#settings.instanceId }];
    let answers;
    try {
      if (events.length === 1) {
        const body = { protocol_version: version, ...own, ...events[0] };
        answers = [await this.#ask(`${this.#path}/events`, this.#settings.sharedToken, body)];
      } else {
        const body = { protocol_version: version, events: events.map((event) => ({ ...own, ...event })) };
        answers = (await this.#ask(`${this.#path}/events/batch`, this.#settings.sharedToken, body)).results ?? [];
      }
    } catch (error) {
      if (error instanceof Busy) return { settled, reason: error.message, waitMs: error.waitMs };
      if (!(error instanceof Refused) || !OF_THE_EVENT.includes(error.status)) throw error;
      if (events.length > 1) return { settled, odd: [...events.keys()], reason: "" };
      return { settled: settled.set(0, { status: "rejected", reason: error.message }), reason: "" };
    }
    if (answers.length !== events.length) return { settled, reason: "the daemon gave no result for each event" };
    let [reason, waitMs] = ["", /** @type {number | undefined} */ (undefined)];
    const odd = [];
    for (const [place, said] of answers.entries()) {
      if (said.status === "rejected" && version === 2 && /unsupported.*version/.test(said.reason ?? "")) {
        // An older daemon: everything is said again as it understands it.
        this.#version = 1;
        return { settled: new Map(), reason: said.reason, waitMs: 0 };
      }
      if (["accepted", "duplicate", "rejected"].includes(said.status)) settled.set(place, said);
      else if (said.status === "error" && events.length > 1) odd.push(place);
      else {
        reason = String(said.reason ?? "the daemon takes no more");
        if (said.retry_after_ms) waitMs = Math.max(waitMs ?? 0, said.retry_after_ms);
      }
    }
    return { settled, odd, reason, waitMs };
  }

  /**
   * @param {string} url
   * @param {string | null} token
   * @param {Json} [body]
   * @returns {Promise<Json>}
   */
  async #ask(url, token, body) {
    const headers = { ...(token && { authorization: `Bearer ${token}` }), "content-type": "application/json" };
    const request = body ? { method: "POST", headers, body: JSON.stringify(body, whole) } : { headers };
    let got;
    try {
      got = await call(url, { ...request, timeoutMs: TIMEOUT_MS, limit: ANSWER_BYTES });
    } catch (error) {
      throw new Busy(`the daemon does not answer: ${saying(error)}`);
    }
    if (got.status === 200) {
      try {
        return JSON.parse(got.body.toString());
      } catch {
        // What an answer holds may be secret, so it is not shown.
        throw new Busy("the daemon's answer is unreadable");
      }
    }
    if ([408, 425, 429].includes(got.status) || got.status >= 500) {
      const after = got.headers.get("retry-after") ?? "";
      throw new Busy(`the daemon answered ${got.status}`, /^\d+$/.test(after) ? Number(after) * 1000 : undefined);
    }
    throw new Refused(got.status, got.body.toString().slice(0, 2000));
  }
}

/**
 * @param {KheishEvent[]} events
 * @param {Map<number, Result>} results
 * @param {Set<number>} alone
 */
function firstBatch(events, results, alone) {
  /** @type {number[]} */
  const chosen = [];
  let size = 0;
  for (const [index, event] of events.entries()) {
    if (results.has(index)) continue;
    if (alone.has(index)) {
      if (!chosen.length) return [index];
      continue;
    }
    size += Buffer.byteLength(JSON.stringify(event));
    if (chosen.length === BATCH_EVENTS || (chosen.length && size > BATCH_BYTES)) break;
    chosen.push(index);
  }
  return chosen;
}

/**
 * Half a character would be refused again and again.
 * @param {string} _
 * @param {unknown} value
 */
function whole(_, value) {
  return typeof value === "string" ? value.replace(/\p{Surrogate}/gu, "\uFFFD") : value;
}
