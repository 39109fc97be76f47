// @ts-check
// The bridge: webhooks in as events, deliveries out as comments.

import { setTimeout as sleep } from "node:timers/promises";

import { close, listen, Sidecar } from "../kheish/sidecar.js";
import { GitHub } from "./comments.js";
import { webhooks } from "./webhook.js";

const LOOK_MS = 300_000;
const LOOK_AGAIN_MS = 15_000;

/** A sidecar that takes webhooks. */
export class Bridge {
  #settings;
  #webhooks;
  #gitHub;

  /**
   * @param {import("../kheish/settings.js").Settings} settings
   * @param {import("./settings.js").GitHubSettings} gitHub
   */
  constructor(settings, gitHub) {
    this.#settings = gitHub;
    // GitHub takes no files with a comment.
    this.sidecar = new Sidecar(settings, (delivery) => this.#gitHub.deliver(delivery), { attachments_out: false });
    this.#gitHub = new GitHub(this.sidecar, gitHub);
    this.#webhooks = webhooks(this.sidecar, gitHub);
  }

  /**
   * Begins; says the two ports.
   * @returns {Promise<{ port: number, webhooks: number }>}
   */
  async start() {
    const ports = { port: await this.sidecar.start(), webhooks: await listen(this.#webhooks, this.#settings.listen) };
    void this.#watch();
    return ports;
  }

  /** Takes no more webhooks, and waits for those that are under way. */
  async close() {
    await close(this.#webhooks);
  }

  async #watch() {
    const { stopping } = this.sidecar;
    while (!stopping.aborted) {
      const isWell = await this.#gitHub.look();
      await sleep(isWell ? LOOK_MS : LOOK_AGAIN_MS, undefined, { signal: stopping, ref: false }).catch(() => undefined);
    }
  }
}
