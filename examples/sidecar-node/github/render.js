// @ts-check
// A webhook becomes an event. Pure: the same webhook is always the same event.

import { isOwn, writeRoute } from "./route.js";

/** @typedef {Record<string, any>} Json */

const BODY_CHARS = 100_000;

/**
 * What of a webhook is said, by the name of its event.
 * @type {Record<string, (payload: Json) => { subject: Json, said: Json, words: string, reviewComment?: number } | null>}
 */
const SORTS = {
  issues: ({ action, issue }) => ({ subject: issue, said: issue, words: `${action} issue ${titled(issue)}` }),
  issue_comment: ({ action, issue, comment }) => {
    const what = issue?.pull_request ? "pull request" : "issue";
    return { subject: issue, said: comment, words: `${verb(action, "commented on", "a comment on")} ${what} ${titled(issue)}` };
  },
  pull_request: ({ action, pull_request: pull }) => {
    const done = action === "closed" && pull?.merged ? "merged" : action;
    const branches = `${pull?.head?.label ?? "?"} into ${pull?.base?.ref ?? "?"}`;
    return { subject: pull, said: pull, words: `${done} pull request ${titled(pull)} (${branches})` };
  },
  pull_request_review: ({ action, pull_request: pull, review }) => {
    const state = String(review?.state ?? "").replaceAll("_", " ");
    return { subject: pull, said: review, words: `${verb(action, "reviewed", "a review of")} pull request ${titled(pull)} (${state})` };
  },
  pull_request_review_comment: ({ action, pull_request: pull, comment }) => {
    const place = `${comment?.path ?? "?"}${comment?.line ? `:${comment.line}` : ""}`;
    return {
      subject: pull,
      said: comment,
      words: `${verb(action, "commented on", "a comment on")} ${place} in pull request ${titled(pull)}`,
      // Only the first comment of a thread can be replied to.
      reviewComment: comment?.in_reply_to_id ?? comment?.id,
    };
  },
};

/**
 * Reads a webhook: an event, or why there is none.
 * @param {string} name
 * @param {string} delivery
 * @param {Json} payload
 * @param {import("./settings.js").GitHubSettings} settings
 * @returns {{ event: import("../kheish/daemon.js").KheishEvent } | { ignored: string }}
 */
export function render(name, delivery, payload, settings) {
  const { action, repository, sender } = payload;
  const full = `${name}.${action}`;
  if (!settings.events.has(name) && !settings.events.has(full)) return { ignored: `${full} is not among GITHUB_EVENTS` };
  const { subject, said, words, reviewComment } = (Object.hasOwn(SORTS, name) && SORTS[name](payload)) || {};
  const [place, number, login] = [repository?.full_name, subject?.number, sender?.login];
  if (!said || typeof place !== "string" || !Number.isSafeInteger(number) || typeof login !== "string") {
    return { ignored: `${full} is of no sort that the bridge knows` };
  }
  if (isOwn(said.body)) return { ignored: "the bridge wrote it itself" };
  if (sender.type === "Bot" && !settings.bots) return { ignored: "a bot wrote it, and GITHUB_BOTS is not true" };
  const association = String(said.author_association ?? "NONE");
  if (!settings.associations.has("*") && !settings.associations.has(association)) {
    return { ignored: `${association} is not among GITHUB_ASSOCIATIONS` };
  }
  const body = clipped(typeof said.body === "string" ? said.body.replaceAll("\r\n", "\n").trim() : "");
  const at = Date.parse(said.submitted_at ?? said.updated_at ?? said.created_at ?? "");
  return {
    event: {
      event_id: delivery,
      actor_id: login,
      source_kind: "github",
      thread: { path: [place, String(number)] },
      content: [`${login} ${words}`, body, said.html_url].filter(Boolean).join("\n\n"),
      reply_route: writeRoute({ repository: place, number, ...(reviewComment && { reviewComment }) }),
      ...(Number.isFinite(at) && { occurred_at_ms: at }),
      metadata: { event: name, action, repository: place, number, url: said.html_url, author_association: association },
    },
  };
}

/** @param {Json | undefined} subject */
function titled(subject) {
  return `#${subject?.number}: ${String(subject?.title ?? "").slice(0, 300)}`;
}

/**
 * @param {string} action
 * @param {string} usual What is said of something new.
 * @param {string} thing What was changed otherwise.
 */
function verb(action, usual, thing) {
  return action === "created" || action === "submitted" ? usual : `${action} ${thing}`;
}

/** @param {string} text */
function clipped(text) {
  if (text.length <= BODY_CHARS) return text;
  // A character of two halves stays whole.
  return `${text.slice(0, BODY_CHARS).replace(/[\uD800-\uDBFF]$/, "")}\n\n[The rest is left out.]`;
}
