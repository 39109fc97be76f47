// @ts-check
// Deliveries under way, each once: the daemon asks again when it heard nothing.

import { setTimeout as sleep } from "node:timers/promises";

const MOST = 16;
const REMEMBERED = 10_000;
const PATIENCE_MS = 12_000;

/**
 * @typedef {object} Delivery
 * @property {string} key The same for every attempt, and for a replay by the operator.
 * @property {string} deliveryId
 * @property {number} attempt
 * @property {string} replyRoute
 * @property {string} text
 * @property {object[]} attachments
 *
 * @typedef {object} Outcome
 * @property {"committed" | "retryable_error" | "terminal_error" | "unknown"} status `unknown` says that it left and nobody
 * said what became of it: the protocol has no word for that, and the daemon takes it as such.
 * @property {string} [detail]
 * @property {number} [retryAfterMs] What the platform asks for.
 *
 * @typedef {(delivery: Delivery) => Promise<Outcome>} Deliver
 */

/** Gives each delivery to the bridge once at a time, and remembers the last ones that arrived. */
export class Deliveries {
  #deliver;
  #stopping;
  /** @type {Map<string, Promise<Outcome>>} */
  #underWay = new Map();
  /** @type {Set<string>} */
  #arrived = new Set();

  /**
   * @param {Deliver} deliver
   * @param {AbortSignal} stopping
   */
  constructor(deliver, stopping) {
    this.#deliver = deliver;
    this.#stopping = stopping;
  }

  /**
   * Delivers it, or waits for the attempt that is under way. Answers sooner than the daemon gives up.
   * @param {Delivery} delivery
   * @returns {Promise<Outcome>}
   */
  async take(delivery) {
    if (this.#arrived.has(delivery.key)) return { status: "committed", detail: "it arrived before" };
    let work = this.#underWay.get(delivery.key);
    if (!work) {
      if (this.#stopping.aborted) return { status: "retryable_error", detail: "the sidecar stops" };
      if (this.#underWay.size >= MOST) {
        return { status: "retryable_error", detail: "too many deliveries are under way", retryAfterMs: 1000 };
      }
      work = this.#work(delivery);
      this.#underWay.set(delivery.key, work);
    }
    return await within(work, PATIENCE_MS) ??
      { status: "retryable_error", detail: "an attempt is still under way: ask for it again", retryAfterMs: 1000 };
  }

  /**
   * Waits for what is under way. Nothing is taken any more, because the sidecar stops.
   * @param {number} patienceMs
   */
  async drain(patienceMs) {
    await within(Promise.all(this.#underWay.values()), patienceMs);
  }

  /**
   * @param {Delivery} delivery
   * @returns {Promise<Outcome>}
   */
  async #work(delivery) {
    // Not before it stands among those that are under way.
    await undefined;
    try {
      const outcome = await this.#deliver(delivery);
      if (outcome.status === "committed") this.#remember(delivery.key);
      return outcome;
    } catch (error) {
      // The bridge's own mistake: what it has sent is not known.
      console.error(`delivery ${delivery.deliveryId} failed:`, error);
      return { status: "unknown", detail: "the bridge failed" };
    } finally {
      this.#underWay.delete(delivery.key);
    }
  }

  /** @param {string} key */
  #remember(key) {
    this.#arrived.add(key);
    const [oldest] = this.#arrived;
    if (this.#arrived.size > REMEMBERED) this.#arrived.delete(oldest);
  }
}

/**
 * What comes of it in time, or null.
 * @template T
 * @param {Promise<T>} work
 * @param {number} patienceMs
 * @returns {Promise<T | null>}
 */
async function within(work, patienceMs) {
  const done = new AbortController();
  const late = sleep(patienceMs, null, { signal: done.signal }).catch(() => null);
  try {
    return await Promise.race([work, late]);
  } finally {
    done.abort();
  }
}

/**
 * Reads what the daemon posted to `/deliver`; throws a TypeError.
 * @param {unknown} said
 * @param {string | undefined} key
 * @returns {Delivery}
 */
export function readDelivery(said, key) {
  const body = /** @type {Record<string, any>} */ (said);
  if (typeof body?.delivery_id !== "string" || typeof body.reply_route !== "string") {
    throw new TypeError("this is no delivery");
  }
  const parts = Array.isArray(body.parts) ? body.parts : [];
  return {
    key: key || `kheish:${body.delivery_id}`,
    deliveryId: body.delivery_id,
    attempt: Number(body.attempt ?? 1),
    replyRoute: body.reply_route,
    text: typeof body.content === "string" ? body.content : "",
    attachments: parts.filter((part) => part?.type === "attachment").map((part) => part.attachment),
  };
}
