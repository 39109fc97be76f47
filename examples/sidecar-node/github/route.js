// @ts-check
// Where an answer goes, and the mark that the bridge leaves in it. Pure.

import { createHash } from "node:crypto";

/** @typedef {{ repository: string, number: number, reviewComment?: number }} Route */

const REPOSITORY = /^(?!\.)[\w.-]{1,100}\/(?!\.{1,2}$)[\w.-]{1,100}$/;
const MARK = /<!-- kheish:[0-9a-f]{32} \d+\/\d+ -->\s*$/;

/** GitHub takes 65,536 characters, and counts them its own way. */
const COMMENT_CHARS = 30_000;

/**
 * @param {Route} route
 * @returns {string} As it is given to the daemon.
 */
export function writeRoute(route) {
  return JSON.stringify(route);
}

/**
 * Reads it back, or the short form `owner/repository#7`; throws a TypeError.
 * @param {string} written
 * @returns {Route}
 */
export function readRoute(written) {
  const short = /^([^#\s]+)#(\d+)$/.exec(written);
  let route;
  try {
    route = short ? { repository: short[1], number: Number(short[2]) } : JSON.parse(written);
  } catch {
    throw new TypeError("the route is no JSON, nor of the form owner/repository#7");
  }
  const { repository, number, reviewComment } = route ?? {};
  const isNumber = (/** @type {unknown} */ value) => Number.isSafeInteger(value) && Number(value) > 0;
  if (typeof repository !== "string" || !REPOSITORY.test(repository) || !isNumber(number)) {
    throw new TypeError("the route names no issue of a repository");
  }
  if (reviewComment !== undefined && !isNumber(reviewComment)) throw new TypeError("the route names no comment");
  return { repository, number, ...(reviewComment !== undefined && { reviewComment }) };
}

/**
 * The comments that a delivery becomes, each with a mark that is the same whenever it is sent.
 * @param {string} key
 * @param {string} text
 * @returns {{ mark: string, body: string }[]}
 */
export function comments(key, text) {
  const digest = createHash("sha256").update(key).digest("hex").slice(0, 32);
  const pieces = split(text);
  return pieces.map((piece, index) => {
    const mark = `<!-- kheish:${digest} ${index + 1}/${pieces.length} -->`;
    return { mark, body: `${piece}\n\n${mark}` };
  });
}

/**
 * Whether the bridge wrote this itself.
 * @param {unknown} body
 */
export function isOwn(body) {
  return typeof body === "string" && MARK.test(body);
}

/**
 * Pieces that fit, ended at a line where there is one.
 * @param {string} text
 */
function split(text) {
  const pieces = [];
  let rest = text;
  while (rest.length > COMMENT_CHARS) {
    const line = rest.lastIndexOf("\n", COMMENT_CHARS);
    let end = line > COMMENT_CHARS / 2 ? line : COMMENT_CHARS;
    // A character of two halves stays whole.
    if (/[\uD800-\uDBFF]/.test(rest[end - 1])) end -= 1;
    pieces.push(rest.slice(0, end));
    rest = rest.slice(end).replace(/^\n/, "");
  }
  return [...pieces, rest];
}
