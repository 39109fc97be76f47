// A bot by grammY against the Bot API double: what a real client library cannot use is no Bot API.
//
// Arguments: the double's URL and the bot's token. The double knows the private chat 5 and the group -7; a text of number 1,
// an edited one and a pressed button wait. Says `judged` when everything went as with Telegram.
"use strict";

const assert = require("node:assert/strict");

const { Api, Bot, GrammyError, InputFile } = require("grammy");

const [url, token] = process.argv.slice(2);
const client = { apiRoot: url };

/** The call is refused with this code and these words, as the library's own error. */
async function refused(call, code, words) {
  const error = await call.then(
    (value) => assert.fail(`taken: ${JSON.stringify(value)}`),
    (error) => error,
  );
  assert.ok(error instanceof GrammyError, error);
  assert.equal(error.error_code, code);
  assert.match(error.description, words);
  return error;
}

async function sends(api) {
  const me = await api.getMe();
  assert.ok(me.is_bot && me.username === "double_bot");
  const quote = { message_id: 1 };
  const sent = await api.sendMessage(5, "<b>bold</b> &amp; plain", { parse_mode: "HTML", reply_parameters: quote });
  assert.deepEqual([sent.text, sent.chat.id], ["bold & plain", 5]);
  const content = Buffer.from("content");
  const document = await api.sendDocument(5, new InputFile(content, "a.txt"), { caption: "see" });
  assert.deepEqual([document.document.file_name, document.caption], ["a.txt", "see"]);
  const picture = Buffer.from("\x89PNG\r\n\x1a\n\r\n--", "latin1");
  const photo = await api.sendPhoto(5, new InputFile(picture, "a.png"));
  for (const [id, bytes] of [
    [document.document.file_id, content],
    [photo.photo.at(-1).file_id, picture],
  ]) {
    const file = await api.getFile(id);
    assert.equal(file.file_size, bytes.length);
    const response = await fetch(`${url}/file/bot${token}/${file.file_path}`);
    assert.deepEqual(Buffer.from(await response.arrayBuffer()), bytes);
  }
  await refused(api.sendMessage(5, "<b>", { parse_mode: "HTML" }), 400, /end tag/i);
}

/** The library's own loop: it answers what waits, and confirms it. */
async function polls() {
  const bot = new Bot(token, { client });
  const seen = [];
  let loop;
  await new Promise((done, failed) => {
    const see = (kind) => {
      seen.push(kind);
      if (seen.length === 3) done();
    };
    bot.on("message:text", async (context) => {
      const quote = { message_id: context.message.message_id };
      await context.reply(context.message.text.toUpperCase(), { reply_parameters: quote });
      see("message");
    });
    bot.on("edited_message:text", (context) => {
      assert.ok(context.editedMessage.edit_date);
      see("edited_message");
    });
    bot.callbackQuery("yes", async (context) => {
      assert.ok(await context.answerCallbackQuery("noted"));
      see("callback_query");
    });
    bot.catch((error) => failed(error));
    loop = bot.start({ timeout: 1 });
    loop.catch(failed);
  });
  await bot.stop();
  await loop;
  assert.deepEqual(seen, ["message", "edited_message", "callback_query"]);
  await refused(bot.api.answerCallbackQuery("77"), 400, /query is too old/);
}

/** The second of two polls ends the first, and a webhook ends the second. */
async function rivals(api) {
  const one = () => api.getUpdates({ timeout: 30 });
  const two = [one(), one()];
  const kept = Promise.allSettled(two);
  await refused(Promise.race(two), 409, /other getUpdates/);
  const settings = { secret_token: "secret", max_connections: 7 };
  assert.ok(await api.setWebhook("https://host.example/hook", settings));
  const info = await api.getWebhookInfo();
  assert.deepEqual([info.url, info.max_connections], ["https://host.example/hook", 7]);
  for (const outcome of await kept) assert.equal(outcome.reason?.error_code, 409);
  await refused(api.getUpdates(), 409, /webhook is active/);
  assert.ok(await api.deleteWebhook());
  assert.equal((await api.getWebhookInfo()).url, "");
  assert.deepEqual(await api.getUpdates(), []);
}

async function floods(api) {
  for (let count = 0; count < 20; count += 1) await api.sendMessage(-7, "x");
  const error = await refused(api.sendMessage(-7, "x"), 429, /retry after/);
  assert.ok(error.parameters.retry_after > 0 && error.parameters.retry_after <= 60);
}

async function main() {
  const api = new Api(token, client);
  await sends(api);
  await polls();
  await rivals(api);
  await floods(api);
  await refused(new Api(`1:${"x".repeat(35)}`, client).getMe(), 401, /Unauthorized/);
  console.log("judged");
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
