// @ts-check
// What an operator sets for the bridge.

import { address, needed, readAddress, WrongSetting } from "../kheish/settings.js";

/** The credentials' names. */
export const SECRET = "GITHUB_WEBHOOK_SECRET";
export const TOKEN = "GITHUB_TOKEN";

const EVENTS = "issues.opened,issue_comment.created,pull_request.opened,pull_request_review.submitted," +
  "pull_request_review_comment.created";

/**
 * @typedef {object} GitHubSettings
 * @property {import("../kheish/settings.js").Address} listen Where webhooks are awaited.
 * @property {string} path
 * @property {string} apiBaseUrl
 * @property {ReadonlySet<string>} events `event.action`, or `event` for all of its actions.
 * @property {ReadonlySet<string>} associations Whose words are heard, as GitHub calls them, or `*`.
 * @property {boolean} bots Whether other bots are heard.
 * @property {number} bodyBytes Of a webhook.
 */

/**
 * Reads them.
 * @param {Record<string, string | undefined>} env
 * @returns {GitHubSettings}
 */
export function gitHubSettings(env) {
  const path = env.GITHUB_PATH || "/github";
  if (!path.startsWith("/")) throw new WrongSetting("GITHUB_PATH does not begin with a slash");
  const bodyBytes = Number(env.GITHUB_MAX_BYTES || 5 << 20);
  if (!(bodyBytes > 0)) throw new WrongSetting("GITHUB_MAX_BYTES is no positive number");
  return {
    listen: readAddress("GITHUB_LISTEN", needed(env, "GITHUB_LISTEN")),
    path,
    apiBaseUrl: address("GITHUB_API_URL", env.GITHUB_API_URL || "https://api.github.com").href.replace(/\/+$/, ""),
    events: list(env.GITHUB_EVENTS || EVENTS),
    associations: list(env.GITHUB_ASSOCIATIONS || "OWNER,MEMBER,COLLABORATOR"),
    bots: env.GITHUB_BOTS === "true",
    bodyBytes,
  };
}

/** @param {string} written */
function list(written) {
  return new Set(written.split(",").map((entry) => entry.trim()).filter(Boolean));
}
