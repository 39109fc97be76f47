// @ts-check
// What the daemon tells a child in its environment, and an operator a sidecar that runs elsewhere.

import { randomBytes } from "node:crypto";

const PREFIX = "KHEISH_EXTERNAL_CONNECTOR_";

/** Something in the environment is missing, or is not what it should be. */
export class WrongSetting extends Error {}

/**
 * @typedef {{ host: string, port: number }} Address
 *
 * @typedef {object} Settings
 * @property {string} name The connector's name.
 * @property {string} basePath What the paths of the daemon's calls begin with.
 * @property {Address} listen Where the daemon's calls are awaited.
 * @property {string} daemonBaseUrl Where the daemon is called.
 * @property {string | null} sharedToken
 * @property {string | null} credentialToken
 * @property {ReadonlySet<string>} credentialKeys
 * @property {string} instanceId This life of the sidecar.
 */

/**
 * Reads them as the daemon writes them.
 * @param {Record<string, string | undefined>} env
 * @returns {Settings}
 */
export function settingsFromEnv(env) {
  const base = address(PREFIX + "BASE_URL", needed(env, PREFIX + "BASE_URL"));
  const daemon = address(PREFIX + "DAEMON_BASE_URL", needed(env, PREFIX + "DAEMON_BASE_URL"));
  const listen = env[PREFIX + "LISTEN"];
  if (!listen && !base.port) throw new WrongSetting(`${PREFIX}BASE_URL names no port: add one, or set ${PREFIX}LISTEN`);
  const host = base.hostname.replace(/^\[|\]$/g, "");
  const settings = {
    name: needed(env, PREFIX + "NAME"),
    basePath: base.pathname.replace(/\/+$/, ""),
    listen: listen ? readAddress(PREFIX + "LISTEN", listen) : { host, port: Number(base.port) },
    daemonBaseUrl: daemon.href.replace(/\/+$/, ""),
    sharedToken: env[PREFIX + "SHARED_TOKEN"] || null,
    credentialToken: env[PREFIX + "CREDENTIAL_TOKEN"] || null,
    credentialKeys: new Set(/** @type {string[]} */ (JSON.parse(env[PREFIX + "CREDENTIAL_KEYS_JSON"] || "[]"))),
    instanceId: env[PREFIX + "INSTANCE_ID"] || randomBytes(8).toString("hex"),
  };
  if (settings.sharedToken === null && !/^(127\.[\d.]+|::1|localhost)$/.test(settings.listen.host)) {
    throw new WrongSetting(`${PREFIX}SHARED_TOKEN is missing: without it only a loopback address may listen`);
  }
  return settings;
}

/**
 * A variable that must be there.
 * @param {Record<string, string | undefined>} env
 * @param {string} name
 */
export function needed(env, name) {
  const value = env[name]?.trim();
  if (!value) throw new WrongSetting(`${name} is missing`);
  return value;
}

/**
 * An http address without query and fragment.
 * @param {string} name
 * @param {string} written
 */
export function address(name, written) {
  const url = URL.canParse(written) ? new URL(written) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username) {
    throw new WrongSetting(`${name} is no http address: ${JSON.stringify(written)}`);
  }
  return url;
}

/**
 * `host:port`; port 0 is any that is free.
 * @param {string} name
 * @param {string} written
 * @returns {Address}
 */
export function readAddress(name, written) {
  const found = /^\[?([^\]]+?)\]?:(\d{1,5})$/.exec(written);
  if (!found) throw new WrongSetting(`${name} is no address: write host:port`);
  return { host: found[1], port: Number(found[2]) };
}
