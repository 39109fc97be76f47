"""A bot by aiogram against the Bot API double: what a real client library cannot use is no Bot API.

Arguments: the double's URL and the bot's token. The double knows the private chat 5 and the group -7; a text of number 1, an
edited one and a pressed button wait. Says `judged` when everything went as with Telegram.
"""

import asyncio
import sys

from aiogram import Bot, Dispatcher
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.exceptions import (
    TelegramBadRequest,
    TelegramConflictError,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiogram.types import BufferedInputFile, CallbackQuery, Message, ReplyParameters


async def sends(bot: Bot) -> None:
    me = await bot.get_me()
    assert me.is_bot and me.username == "double_bot", me
    quote = ReplyParameters(message_id=1)
    sent = await bot.send_message(5, "<b>bold</b> &amp; plain", parse_mode="HTML", reply_parameters=quote)
    assert sent.text == "bold & plain" and sent.chat.id == 5, sent
    document = await bot.send_document(5, BufferedInputFile(b"content", "a.txt"), caption="see")
    assert document.document.file_name == "a.txt" and document.caption == "see", document
    photo = await bot.send_photo(5, BufferedInputFile(b"\x89PNG\r\n\x1a\n\r\n--", "a.png"))
    for file_id, content in [
        (document.document.file_id, b"content"),
        (photo.photo[-1].file_id, b"\x89PNG\r\n\x1a\n\r\n--"),
    ]:
        file = await bot.get_file(file_id)
        assert file.file_size == len(content), file
        assert (await bot.download_file(file.file_path)).read() == content
    try:
        await bot.send_message(5, "<b>", parse_mode="HTML")
    except TelegramBadRequest as error:
        assert "end tag" in error.message.lower(), error
    else:
        raise AssertionError("marks that are wrong were taken")


async def polls(bot: Bot) -> None:
    """The library's own loop: it answers what waits, and confirms it."""
    dispatcher = Dispatcher()
    seen = []
    done = asyncio.Event()

    def see(kind: str) -> None:
        seen.append(kind)
        if len(seen) == 3:
            done.set()

    @dispatcher.message()
    async def message(message: Message) -> None:
        await message.reply(message.text.upper())
        see("message")

    @dispatcher.edited_message()
    async def edited(message: Message) -> None:
        assert message.edit_date and message.text == "hello, you", message
        see("edited_message")

    @dispatcher.callback_query()
    async def pressed(query: CallbackQuery) -> None:
        assert query.data == "yes", query
        assert await query.answer("noted")
        see("callback_query")

    loop = asyncio.create_task(
        dispatcher.start_polling(bot, polling_timeout=1, handle_signals=False, close_bot_session=False)
    )
    await asyncio.wait_for(done.wait(), 20)
    while (await bot.get_webhook_info()).pending_update_count:
        await asyncio.sleep(0.02)
    await dispatcher.stop_polling()
    await loop
    assert sorted(seen) == ["callback_query", "edited_message", "message"], seen
    try:
        await bot.answer_callback_query("77")
    except TelegramBadRequest as error:
        assert "query is too old" in error.message, error
    else:
        raise AssertionError("a button was answered twice")


async def rivals(bot: Bot) -> None:
    """The second of two polls ends the first, and a webhook ends the second."""
    two = [asyncio.create_task(bot.get_updates(timeout=30)) for _ in range(2)]
    (first,), (second,) = await asyncio.wait(two, return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(first.exception(), TelegramConflictError), first
    assert "other getUpdates" in str(first.exception()), first
    assert await bot.set_webhook("https://host.example/hook", secret_token="secret", max_connections=7)
    info = await bot.get_webhook_info()
    assert info.url == "https://host.example/hook" and info.max_connections == 7, info
    for poll in [second, bot.get_updates()]:
        try:
            await poll
        except TelegramConflictError:
            continue
        raise AssertionError("a poll beside a webhook was taken")
    assert await bot.delete_webhook()
    assert (await bot.get_webhook_info()).url == ""
    assert await bot.get_updates() == []


async def floods(bot: Bot) -> None:
    for _ in range(20):
        await bot.send_message(-7, "x")
    try:
        await bot.send_message(-7, "x")
    except TelegramRetryAfter as error:
        assert 0 < error.retry_after <= 60, error
    else:
        raise AssertionError("too many messages were taken")


async def main(url: str, token: str) -> None:
    session = AiohttpSession(api=TelegramAPIServer.from_base(url))
    async with Bot(token, session=session) as bot:
        await sends(bot)
        await polls(bot)
        await rivals(bot)
        await floods(bot)
        try:
            await Bot("1:" + "x" * 35, session=session).get_me()
        except TelegramUnauthorizedError:
            pass
        else:
            raise AssertionError("a wrong token was taken")
    print("judged")


asyncio.run(main(sys.argv[1], sys.argv[2]))
