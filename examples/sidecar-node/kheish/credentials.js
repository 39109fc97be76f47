// @ts-check
// Credentials: by lease from the daemon, or from the environment of a sidecar that it did not start.

import { readFile } from "node:fs/promises";

import { Unavailable } from "./daemon.js";
import { WrongSetting } from "./settings.js";

/** @typedef {{ value: string, renewAtMs: number, endsAtMs: number }} Lease */

/** Hands out what it has leased, and renews a lease before it ends. */
export class Credentials {
  #daemon;
  #keys;
  #env;
  /** @type {Map<string, Promise<Lease>>} */
  #leases = new Map();

  /**
   * @param {import("./daemon.js").Daemon} daemon
   * @param {ReadonlySet<string>} keys What the daemon leases.
   * @param {Record<string, string | undefined>} [env]
   */
  constructor(daemon, keys, env = process.env) {
    this.#daemon = daemon;
    this.#keys = keys;
    this.#env = env;
  }

  /**
   * The credential, as it is now. Ask each time that it is used: it may be rotated.
   * @param {string} key
   * @returns {Promise<string>}
   */
  async get(key) {
    if (!this.#keys.has(key)) return this.#fromEnv(key);
    // One after the other: whoever comes meanwhile gets what the first one was given.
    const before = (this.#leases.get(key) ?? Promise.resolve(undefined)).catch(() => undefined);
    const lease = before.then((known) => this.#renewed(key, known));
    this.#leases.set(key, lease);
    return (await lease).value;
  }

  /**
   * The platform refused it: the next `get` asks the daemon.
   * @param {string} key
   */
  forget(key) {
    this.#leases.delete(key);
  }

  /**
   * @param {string} key
   * @param {Lease | undefined} known
   * @returns {Promise<Lease>}
   */
  async #renewed(key, known) {
    const now = Date.now();
    if (known && now < known.renewAtMs) return known;
    try {
      const { value, expiresAtMs } = await this.#daemon.lease(key);
      // A third of its life is left for tries that fail.
      return { value, renewAtMs: now + (expiresAtMs - now) * 2 / 3, endsAtMs: expiresAtMs };
    } catch (error) {
      if (known && now < known.endsAtMs && error instanceof Unavailable) return known;
      throw error;
    }
  }

  /** @param {string} key */
  async #fromEnv(key) {
    const file = this.#env[`${key}_FILE`];
    const value = file ? (await readFile(file, "utf8")).replace(/[\r\n]+$/, "") : this.#env[key];
    if (!value) {
      throw new WrongSetting(`${key} is neither among the connector's credential_slots nor in the environment`);
    }
    return value;
  }
}
