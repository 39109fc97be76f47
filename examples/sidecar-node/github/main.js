// @ts-check
// Runs the bridge: `node github/main.js`.

import { settingsFromEnv, WrongSetting } from "../kheish/settings.js";
import { Bridge } from "./bridge.js";
import { gitHubSettings } from "./settings.js";

try {
  const bridge = new Bridge(settingsFromEnv(process.env), gitHubSettings(process.env));
  bridge.sidecar.endAtSignals(() => bridge.close());
  const { port, webhooks } = await bridge.start();
  console.log(`listening on ${port}, webhooks on ${webhooks}`);
} catch (error) {
  if (!(error instanceof WrongSetting)) throw error;
  console.error(`github bridge: ${error.message}`);
  process.exitCode = 2;
}
