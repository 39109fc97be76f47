"""A bot by python-telegram-bot against the Bot API double: what a real client library cannot use is no Bot API.

Arguments: the double's URL and the bot's token. The double knows the private chat 5 and has one text waiting there. Says
`judged` when everything went as with Telegram.
"""

import asyncio
import sys

from telegram import Bot, InputFile
from telegram.error import BadRequest, Conflict, InvalidToken
from telegram.ext import Application, MessageHandler, filters


async def sends(bot: Bot) -> None:
    me = await bot.get_me()
    assert me.is_bot and me.username == "double_bot", me
    sent = await bot.send_message(5, "<b>bold</b> & plain".replace("&", "&amp;"), parse_mode="HTML")
    assert sent.text == "bold & plain" and sent.chat.id == 5, sent
    document = await bot.send_document(5, InputFile(b"content", filename="a.txt"), caption="see")
    assert document.document.file_name == "a.txt" and document.caption == "see", document
    file = await bot.get_file(document.document.file_id)
    assert bytes(await file.download_as_bytearray()) == b"content"
    for text, words in [("x" * 4097, "too long"), ("<b>", "end tag")]:
        try:
            await bot.send_message(5, text, parse_mode="HTML")
        except BadRequest as error:
            assert words in str(error).lower(), error
        else:
            raise AssertionError(f"{words}: taken")


async def webhooks(bot: Bot) -> None:
    assert await bot.set_webhook("https://host.example/hook", secret_token="secret", max_connections=7)
    info = await bot.get_webhook_info()
    assert info.url == "https://host.example/hook" and info.max_connections == 7, info
    try:
        await bot.get_updates()
    except Conflict as error:
        assert "webhook is active" in str(error), error
    else:
        raise AssertionError("a poll beside a webhook was taken")
    assert await bot.delete_webhook()


async def polls(url: str, token: str) -> None:
    """The library's own loop: it answers what waits, and confirms it."""
    done = asyncio.Event()

    async def echo(update, _context) -> None:
        await update.message.reply_text(update.message.text.upper(), do_quote=True)
        done.set()

    app = Application.builder().token(token).base_url(f"{url}/bot").base_file_url(f"{url}/file/bot").build()
    app.add_handler(MessageHandler(filters.TEXT, echo))
    async with app:
        await app.start()
        await app.updater.start_polling(timeout=1)
        await asyncio.wait_for(done.wait(), 20)
        await app.updater.stop()
        await app.stop()


async def main(url: str, token: str) -> None:
    async with Bot(token, base_url=f"{url}/bot", base_file_url=f"{url}/file/bot") as bot:
        await sends(bot)
        await webhooks(bot)
    await polls(url, token)
    try:
        async with Bot("1:" + "x" * 35, base_url=f"{url}/bot"):
            raise AssertionError("a wrong token was taken")
    except InvalidToken:
        pass
    print("judged")


asyncio.run(main(sys.argv[1], sys.argv[2]))
