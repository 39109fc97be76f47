// @ts-check
// Requests and answers of bounded size and time.

import { createHash, timingSafeEqual } from "node:crypto";

/** A body has more bytes than are taken. */
export class TooLong extends Error {}

/**
 * Reads a body to its end, or fails at once when it is longer than that.
 * @param {AsyncIterable<Uint8Array>} stream
 * @param {number} limit
 */
export async function readAll(stream, limit) {
  const chunks = [];
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size > limit) throw new TooLong(`more than ${limit} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * Makes a request, and reads the whole answer. Redirects are not followed: a token is not carried elsewhere.
 * @param {string} url
 * @param {{ method?: string, headers?: Record<string, string>, body?: string, timeoutMs: number, limit: number }} request
 * @returns {Promise<{ status: number, headers: Headers, body: Buffer }>}
 */
export async function call(url, { timeoutMs, limit, ...request }) {
  const answer = await fetch(url, { ...request, redirect: "manual", signal: AbortSignal.timeout(timeoutMs) });
  const body = answer.body ? await readAll(answer.body, limit) : Buffer.alloc(0);
  return { status: answer.status, headers: answer.headers, body };
}

/**
 * Answers in JSON. Of a request that was refused unread the connection ends.
 * @param {import("node:http").ServerResponse} response
 * @param {number} status
 * @param {unknown} said
 * @param {Record<string, string>} [headers]
 */
export function answer(response, status, said, headers = {}) {
  const body = Buffer.from(JSON.stringify(said));
  const { headers: asked, complete } = response.req;
  const isUnread = !complete && ("content-length" in asked || "transfer-encoding" in asked);
  response.writeHead(status, {
    "content-type": "application/json", "content-length": body.length, ...(isUnread && { connection: "close" }), ...headers,
  });
  response.end(body);
}

/**
 * Compares secrets without telling by its time how much of them is the same.
 * @param {string} given
 * @param {string} expected
 */
export function same(given, expected) {
  const digest = (/** @type {string} */ text) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(expected));
}

/**
 * @param {unknown} error
 * @returns {string} What an error says, with its cause: `fetch failed` alone says nothing.
 */
export function saying(error) {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}
