"""The realtime client for Python subscribes, broadcasts and hears of changes."""

import asyncio

from supabase import acreate_client

from check import DEMO, KEY, URL, check, done

ADA = DEMO["people"][0]
LIMIT = 10


async def signed_in():
    client = await acreate_client(URL, KEY)
    await client.auth.sign_in_with_password({"email": ADA["email"], "password": ADA["password"]})
    session = await client.auth.get_session()
    await client.realtime.set_auth(session.access_token)
    return client


async def subscribed(channel):
    ready = asyncio.get_running_loop().create_future()

    def seen(state, error):
        if not ready.done():
            if str(state).endswith("SUBSCRIBED"):
                ready.set_result(None)
            elif error is not None:
                ready.set_exception(error)

    await channel.subscribe(seen)
    await asyncio.wait_for(ready, LIMIT)


def lived(work):
    """Runs `work` with a signed-in client and ends its connection."""

    async def whole():
        client = await signed_in()
        try:
            await work(client)
        finally:
            await client.remove_all_channels()

    asyncio.run(whole())


@check("a broadcast comes back to a sender that asked for it")
def _():
    async def work(client):
        heard = asyncio.Queue()
        channel = client.channel("talk", {"config": {"broadcast": {"self": True, "ack": False}, "private": False}})
        channel.on_broadcast("said", heard.put_nowait)
        await subscribed(channel)
        await channel.send_broadcast("said", {"text": "grüß dich"})
        message = await asyncio.wait_for(heard.get(), LIMIT)
        assert message["payload"] == {"text": "grüß dich"}, message

    lived(work)


@check("changes of a table arrive")
def _():
    async def work(client):
        heard, ready = asyncio.Queue(), asyncio.Event()
        channel = client.channel("tables")
        channel.on_postgres_changes("INSERT", heard.put_nowait, table="workspaces", schema="public")
        channel.on_system(lambda message: ready.set())
        await subscribed(channel)
        await asyncio.wait_for(ready.wait(), LIMIT)
        row = {"org_id": DEMO["org_id"], "name": "Py", "slug": "py"}
        await client.table("workspaces").insert(row).execute()
        change = await asyncio.wait_for(heard.get(), LIMIT)
        assert change["data"]["record"]["slug"] == "py", change

    lived(work)


@check("presence shows who is there")
def _():
    async def work(client):
        synced = asyncio.Event()
        channel = client.channel("here", {"config": {"presence": {"key": "ada", "enabled": True}, "private": False}})

        def sync():
            if "ada" in channel.presence_state():
                synced.set()

        channel.on_presence_sync(sync)
        await subscribed(channel)
        await channel.track({"doing": "reading"})
        await asyncio.wait_for(synced.wait(), LIMIT)

    lived(work)


done()
