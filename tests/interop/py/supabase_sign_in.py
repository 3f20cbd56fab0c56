"""supabase-py signs people in: mails, a browser, a provider's token, a second factor, and without an address."""

import base64
import hashlib
import hmac
import struct
import time
from urllib.parse import parse_qs, urlsplit

import httpx
from supabase import AuthApiError, ClientOptions, create_client

from check import DEMO, KEY, URL, check, done, failure

ADA, GRACE = DEMO["people"]
REDIRECT = "http://127.0.0.1:9/callback"
HTTP = httpx.Client(headers={"apikey": KEY}, trust_env=False)


def client():
    return create_client(URL, KEY, ClientOptions(auto_refresh_token=False))


def signed_in(person):
    supabase = client()
    supabase.auth.sign_in_with_password({"email": person["email"], "password": person["password"]})
    return supabase


def mail(to):
    return HTTP.get(f"{URL}/dev/v1/mails", params={"to": to}).raise_for_status().json()[-1]


def location(answer):
    assert answer.status_code in (302, 303), answer.text
    return answer.headers["location"]


def choose(address, **fields):
    """What a browser does with the address of a provider: the parameters the application gets."""
    page = location(HTTP.get(address)) if "/authorize" in address else address
    end = location(HTTP.get(location(HTTP.post(page, data=fields))))
    assert end.startswith(REDIRECT), end
    return {name: values[0] for name, values in parse_qs(urlsplit(end).query).items()}


def totp(secret):
    tag = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(time.time()) // 30), hashlib.sha1)
    return f"{(struct.unpack_from('>I', tag, tag[19] & 15)[0] & 0x7FFFFFFF) % 1_000_000:06}"


@check("a code signs in, once")
def _():
    supabase = client()
    supabase.auth.sign_in_with_otp({"email": ADA["email"]})
    given = {"type": "email", "email": ADA["email"], "token": mail(ADA["email"])["code"]}
    assert supabase.auth.verify_otp(given).user.id == ADA["user_id"]
    error = failure(AuthApiError, lambda: client().auth.verify_otp(given))
    assert (error.status, error.code) == (403, "otp_expired"), error


@check("an unknown address is told so where nobody is made")
def _():
    asked = {"email": "nobody@example.com", "options": {"should_create_user": False}}
    error = failure(AuthApiError, lambda: client().auth.sign_in_with_otp(asked))
    assert error.code == "otp_disabled", error.code


@check("the hash of a link signs in")
def _():
    supabase = client()
    supabase.auth.sign_in_with_otp({"email": ADA["email"]})
    answer = supabase.auth.verify_otp({"type": "magiclink", "token_hash": mail(ADA["email"])["token_hash"]})
    assert answer.user.id == ADA["user_id"], answer


@check("a recovery changes the password")
def _():
    supabase = client()
    supabase.auth.reset_password_for_email(GRACE["email"], {"redirect_to": REDIRECT})
    end = location(HTTP.get(mail(GRACE["email"])["link"]))
    code = parse_qs(urlsplit(end).query)["code"][0]
    supabase.auth.exchange_code_for_session({"auth_code": code})
    GRACE["password"] = "remembered-this-time"
    supabase.auth.update_user({"password": GRACE["password"]})
    signed_in(GRACE)


@check("somebody without an address becomes somebody with one")
def _():
    supabase = client()
    guest = supabase.auth.sign_in_anonymously().user
    assert guest.is_anonymous
    known = supabase.auth.update_user({"email": "guest@example.com"}).user
    assert (known.id, known.is_anonymous) == (guest.id, False), known


@check("a provider signs in with a code for the verifier")
def _():
    supabase = client()
    options = {"redirect_to": REDIRECT}
    url = supabase.auth.sign_in_with_oauth({"provider": "github", "options": options}).url
    code = choose(url, email=ADA["email"])["code"]
    assert supabase.auth.exchange_code_for_session({"auth_code": code}).user.id == ADA["user_id"]


@check("whoever changes their mind comes back with an error")
def _():
    options = {"redirect_to": REDIRECT}
    url = client().auth.sign_in_with_oauth({"provider": "github", "options": options}).url
    assert choose(url, decision="deny")["error"] == "access_denied"


@check("a token of a provider signs in")
def _():
    body = {"provider": "google", "email": ADA["email"], "nonce": "once"}
    token = HTTP.post(f"{URL}/dev/v1/id-token", json=body).raise_for_status().json()["id_token"]
    answer = client().auth.sign_in_with_id_token({"provider": "google", "token": token, "nonce": "once"})
    assert answer.user.id == ADA["user_id"], answer


@check("an identity is linked and unlinked")
def _():
    supabase = signed_in(GRACE)
    url = supabase.auth.link_identity({"provider": "gitlab", "options": {"redirect_to": REDIRECT}}).url
    choose(url, email="grace.hopper@example.com")
    identities = supabase.auth.get_user_identities().identities
    assert [identity.provider for identity in identities] == ["email", "gitlab"], identities
    supabase.auth.unlink_identity(identities[1])
    assert len(supabase.auth.get_user_identities().identities) == 1


@check("a second factor raises the level")
def _():
    supabase = signed_in(GRACE)
    factor = supabase.auth.mfa.enroll({"factor_type": "totp", "friendly_name": "phone"})
    supabase.auth.mfa.challenge_and_verify({"factor_id": factor.id, "code": totp(factor.totp.secret)})
    assert supabase.auth.mfa.get_authenticator_assurance_level().current_level == "aal2"
    supabase.auth.mfa.unenroll({"factor_id": factor.id})


@check("each scope ends what it says")
def _():
    for scope, here, there in (("local", False, True), ("others", True, False), ("global", False, False)):
        one, two = signed_in(GRACE), signed_in(GRACE)
        tokens = [each.auth.get_session().refresh_token for each in (one, two)]
        one.auth.sign_out({"scope": scope})
        for token, alive in zip(tokens, (here, there)):
            if alive:
                client().auth.refresh_session(token)
            else:
                failure(AuthApiError, lambda: client().auth.refresh_session(token))


done()
