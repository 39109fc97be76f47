// @ts-check
// A delivery becomes comments. GitHub has no key that would make a second try safe, so each comment carries a mark, and
// from the second try on the bridge looks for what is there already.

import { call, saying } from "../kheish/http.js";
import { comments, readRoute } from "./route.js";
import { TOKEN } from "./settings.js";

const TIMEOUT_MS = 8_000;
const ANSWER_BYTES = 16 << 20;
const PAGES = 10;
const LOOK_BACK_MS = 7 * 86_400_000;

/** @typedef {import("../kheish/deliveries.js").Outcome} Outcome */

/** GitHub's API said no; what that means for the delivery. */
class Failed extends Error {
  /** @param {Outcome} outcome */
  constructor(outcome) {
    super(outcome.detail);
    this.outcome = outcome;
  }
}

/** GitHub's API, as far as the bridge uses it. */
export class GitHub {
  #sidecar;
  #base;

  /**
   * @param {import("../kheish/sidecar.js").Sidecar} sidecar
   * @param {import("./settings.js").GitHubSettings} settings
   */
  constructor(sidecar, settings) {
    this.#sidecar = sidecar;
    this.#base = settings.apiBaseUrl;
  }

  /**
   * Posts an answer.
   * @param {import("../kheish/deliveries.js").Delivery} delivery
   * @returns {Promise<Outcome>}
   */
  async deliver(delivery) {
    try {
      const { repository, number, reviewComment } = readRoute(delivery.replyRoute);
      const place = `/repos/${repository}/${reviewComment ? "pulls" : "issues"}/${number}/comments`;
      const isFirst = delivery.attempt === 1 && delivery.key === `kheish:${delivery.deliveryId}`;
      const there = isFirst ? "" : await this.#bodies(place);
      const urls = [];
      for (const { mark, body } of comments(delivery.key, delivery.text)) {
        if (there.includes(mark)) continue;
        const target = reviewComment ? `${place}/${reviewComment}/replies` : place;
        urls.push((await this.#ask(target, { body })).html_url);
      }
      return { status: "committed", detail: urls.join(" ") };
    } catch (error) {
      if (error instanceof Failed) return error.outcome;
      if (error instanceof TypeError) return { status: "terminal_error", detail: error.message };
      throw error;
    }
  }

  /**
   * Whether GitHub answers, and takes the token. It costs nothing of the rate limit.
   * @returns {Promise<boolean>}
   */
  async look() {
    return this.#ask("/rate_limit").then(() => true, () => false);
  }

  /**
   * What has been said of late at a place, in one text.
   * @param {string} place
   */
  async #bodies(place) {
    const since = new Date(Date.now() - LOOK_BACK_MS).toISOString();
    const bodies = [];
    for (let page = 1; page <= PAGES; page += 1) {
      const found = await this.#ask(`${place}?per_page=100&page=${page}&since=${since}`);
      bodies.push(...found.map((/** @type {{ body: string }} */ comment) => comment.body));
      if (found.length < 100) break;
    }
    return bodies.join("\n");
  }

  /**
   * @param {string} path
   * @param {object} [body]
   * @returns {Promise<any>}
   */
  async #ask(path, body) {
    const token = await this.#sidecar.credentials.get(TOKEN).catch((error) => {
      throw this.#unusable(`there is no token: ${saying(error)}`);
    });
    const headers = {
      authorization: `Bearer ${token}`, accept: "application/vnd.github+json", "user-agent": "kheish-sidecar-github",
      "x-github-api-version": "2022-11-28", ...(body && { "content-type": "application/json" }),
    };
    const request = body ? { method: "POST", headers, body: JSON.stringify(body) } : { headers };
    let got;
    try {
      got = await call(this.#base + path, { ...request, timeoutMs: TIMEOUT_MS, limit: ANSWER_BYTES });
    } catch (error) {
      // A comment that arrived nevertheless is found at the next try, by its mark.
      throw this.#unusable(`GitHub does not answer: ${saying(error)}`);
    }
    if (got.status >= 300 && !(path === "/rate_limit" && got.status === 404)) throw this.#failed(got);
    this.#sidecar.report("ready");
    try {
      return JSON.parse(got.body.toString());
    } catch {
      throw new Failed({ status: "retryable_error", detail: `GitHub answered ${got.status} without JSON` });
    }
  }

  /**
   * Nothing can be done at GitHub now, and health says so.
   * @param {string} detail
   */
  #unusable(detail) {
    this.#sidecar.report("degraded", detail);
    return new Failed({ status: "retryable_error", detail });
  }

  /**
   * @param {{ status: number, headers: Headers, body: Buffer }} got
   * @returns {Failed}
   */
  #failed({ status, headers, body }) {
    const detail = `GitHub answered ${status}: ${body.toString().slice(0, 300)}`;
    if (status === 401) {
      // A token that was rotated: the next try fetches the new one.
      this.#sidecar.credentials.forget(TOKEN);
      return this.#unusable(detail);
    }
    const waitMs = wait(headers);
    const isLimited = status === 429 || (status === 403 && (waitMs !== null || /rate limit/i.test(detail)));
    if (isLimited) return new Failed({ status: "retryable_error", detail, retryAfterMs: waitMs ?? 60_000 });
    return new Failed({ status: status >= 500 || status === 408 ? "retryable_error" : "terminal_error", detail });
  }
}

/**
 * What a limited request has to wait, if GitHub says it.
 * @param {Headers} headers
 */
function wait(headers) {
  const after = headers.get("retry-after");
  if (after !== null && /^\d+$/.test(after)) return Number(after) * 1000;
  if (headers.get("x-ratelimit-remaining") !== "0") return null;
  return Math.max(1000, Number(headers.get("x-ratelimit-reset") ?? 0) * 1000 - Date.now());
}
