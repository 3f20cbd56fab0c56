"""supabase-py signs in, reads and writes tables, keeps files and calls functions."""

import json
import uuid

from postgrest.exceptions import APIError
from storage3.exceptions import StorageApiError
from supabase import AuthApiError, FunctionsHttpError, create_client

from check import DEMO, KEY, URL, check, done, failure

ADA, GRACE = DEMO["people"]
WORKSPACE = DEMO["workspace_id"]


def signed_in(person):
    client = create_client(URL, KEY)
    client.auth.sign_in_with_password({"email": person["email"], "password": person["password"]})
    return client


def content_key(name):
    return f"{WORKSPACE}/{name}"


supabase = signed_in(ADA)
bucket = supabase.storage.from_(DEMO["bucket"])


@check("a password signs in")
def _():
    user = supabase.auth.get_user().user
    assert (user.id, user.email) == (ADA["user_id"], ADA["email"]), user


@check("a wrong password is refused with a code")
def _():
    wrong = {"email": ADA["email"], "password": "wrong-password"}
    error = failure(AuthApiError, lambda: create_client(URL, KEY).auth.sign_in_with_password(wrong))
    assert (error.status, error.code) == (400, "invalid_credentials"), error


@check("refreshing gives new tokens that work")
def _():
    client = signed_in(GRACE)
    before = client.auth.get_session()
    after = client.auth.refresh_session().session
    assert after.refresh_token != before.refresh_token
    assert client.auth.get_user().user.id == GRACE["user_id"]


@check("rows are read under their policies")
def _():
    assert [row["id"] for row in supabase.table("workspaces").select("id").execute().data] == [WORKSPACE]
    assert create_client(URL, KEY).table("workspaces").select("id").execute().data == []


FILE = {"workspace_id": WORKSPACE, "file_path": "py/a.txt", "storage_path": content_key("py/a.txt")}


@check("a row is inserted and comes back")
def _():
    [row] = supabase.table("workspace_files").insert(FILE).execute().data
    assert row["file_path"] == "py/a.txt" and uuid.UUID(row["id"]), row


@check("a row that is there already is a conflict")
def _():
    error = failure(APIError, lambda: supabase.table("workspace_files").insert(FILE).execute())
    assert error.code == "23505", error


@check("an upsert changes the row instead")
def _():
    changed = {**FILE, "version": 7}
    table = supabase.table("workspace_files")
    [row] = table.upsert(changed, on_conflict="workspace_id,file_path").execute().data
    assert row["version"] == 7, row
    rows = table.select("version", count="exact").like("file_path", "py/%").order("version").limit(5).execute()
    assert (rows.count, rows.data) == (1, [{"version": 7}]), rows


@check("one row is asked for, and none is an error")
def _():
    query = supabase.table("workspace_files").select("version")
    assert query.eq("file_path", "py/a.txt").single().execute().data == {"version": 7}
    none = supabase.table("workspace_files").select("version").eq("file_path", "py/b.txt").single()
    assert failure(APIError, none.execute).code == "PGRST116"


@check("a row is deleted")
def _():
    table = supabase.table("workspace_files")
    assert len(table.delete().eq("file_path", "py/a.txt").execute().data) == 1
    assert table.select("id").eq("file_path", "py/a.txt").execute().data == []


BYTES = bytes(n * 2_654_435_761 >> 24 & 255 for n in range(100_001))


@check("a file goes up and comes back")
def _():
    answer = bucket.upload(content_key("py.bin"), BYTES, {"content-type": "image/png", "cache-control": "60"})
    assert answer.full_path == f"{DEMO['bucket']}/{content_key('py.bin')}", answer
    assert bucket.download(content_key("py.bin")) == BYTES
    info = bucket.info(content_key("py.bin"))
    assert (info["size"], info["content_type"]) == (len(BYTES), "image/png"), info


@check("a name that is taken is a duplicate unless it is replaced")
def _():
    error = failure(StorageApiError, lambda: bucket.upload(content_key("py.bin"), b"other"))
    assert str(error.status) == "409" or error.code == "Duplicate", vars(error)
    bucket.upload(content_key("py.bin"), b"other", {"upsert": "true"})
    assert bucket.download(content_key("py.bin")) == b"other"


@check("files are listed, signed and removed")
def _():
    assert "py.bin" in [entry["name"] for entry in bucket.list(WORKSPACE)]
    assert "token=" in bucket.create_signed_url(content_key("py.bin"), 60)["signedURL"]
    assert [gone["name"] for gone in bucket.remove([content_key("py.bin")])] == [content_key("py.bin")]
    assert bucket.exists(content_key("py.bin")) is False


@check("an agent answers")
def _():
    body = {"agentSlug": DEMO["agent_slug"], "userMessage": "what is 20 + 22?"}
    answer = json.loads(supabase.functions.invoke("agent-chat", {"body": body}))
    assert "20 + 22 = 42" in answer["content"], answer


@check("an agent that is not there is a function error")
def _():
    body = {"agentSlug": "nobody", "userMessage": "hi"}
    error = failure(FunctionsHttpError, lambda: supabase.functions.invoke("agent-chat", {"body": body}))
    assert "Agent not found" in error.message, error.message


@check("signing out ends the session")
def _():
    client = signed_in(GRACE)
    token = client.auth.get_session().refresh_token
    client.auth.sign_out()
    assert client.auth.get_session() is None
    error = failure(AuthApiError, lambda: create_client(URL, KEY).auth.refresh_session(token))
    assert error.code == "refresh_token_not_found", error.code


done()
