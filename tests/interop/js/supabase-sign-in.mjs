// supabase-js signs people in in every way it knows: mails, browsers, tokens, second factors, and without an address.
//
// Where CLOUD_CONFIRMS is set, new addresses are confirmed by mail. Mails are read from the cloud's controls.

import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { createClient } from '@supabase/supabase-js'
import { bad, check, cloud, done, good } from './check.mjs'

const [ada, grace] = cloud.demo.people
const CONFIRMS = Boolean(process.env.CLOUD_CONFIRMS)
const REDIRECT = 'http://127.0.0.1:9/callback'

const storage = () => {
  const items = new Map()
  return {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  }
}
const client = (flowType = 'implicit') => {
  const auth = { autoRefreshToken: false, detectSessionInUrl: false, flowType, storage: storage() }
  return createClient(cloud.url, cloud.key, { auth })
}
const signedIn = async (person) => {
  const supabase = client()
  good(await supabase.auth.signInWithPassword({ email: person.email, password: person.password }))
  return supabase
}
const dev = async (path, body) => {
  const init = body ? { method: 'POST', body: JSON.stringify(body) } : {}
  const answer = await fetch(`${cloud.url}/dev/v1${path}`, { ...init, headers: { apikey: cloud.key } })
  assert.equal(answer.status, 200)
  return answer.json()
}
const mail = async (to) => (await dev(`/mails?to=${encodeURIComponent(to)}`)).at(-1)
const mailsSoFar = async (to) => (await dev(`/mails?to=${encodeURIComponent(to)}`)).length
const claims = (session) => JSON.parse(Buffer.from(session.access_token.split('.')[1], 'base64url'))
const follow = async (address, init = {}) => {
  const answer = await fetch(address, { ...init, redirect: 'manual' })
  assert.ok([302, 303].includes(answer.status), `${answer.status} ${await answer.text()}`)
  return new URL(answer.headers.get('location'))
}
/// What a browser does with the address of a provider: choose who one is, and go on to the application.
const choose = async (address, fields) => {
  const page = address.includes('/authorize') ? await follow(address) : new URL(address)
  return follow(await follow(page, { method: 'POST', body: new URLSearchParams(fields) }))
}
const fragment = (url) => Object.fromEntries(new URLSearchParams(url.hash.slice(1)))
const adopt = async (supabase, url) => {
  const { access_token, refresh_token } = fragment(url)
  return good(await supabase.auth.setSession({ access_token, refresh_token })).session
}

// Signing up

const lin = { email: 'lin@example.com', password: 'a-long-enough-secret' }

if (CONFIRMS) {
  await check('a sign-up waits for its code', async () => {
    const supabase = client()
    const { user, session } = good(await supabase.auth.signUp(lin))
    assert.deepEqual([session, user.identities.length], [null, 1])
    assert.equal(bad(await client().auth.signInWithPassword(lin)).code, 'email_not_confirmed')
    const { kind, code } = await mail(lin.email)
    assert.equal(kind, 'signup')
    const verified = good(await supabase.auth.verifyOtp({ type: 'signup', email: lin.email, token: code }))
    assert.ok(verified.user.email_confirmed_at)
    await signedIn(lin)
  })

  await check('a sign-up is confirmed by its link, which ends with a code', async () => {
    const supabase = client('pkce')
    const joan = { email: 'joan@example.com', password: lin.password }
    good(await supabase.auth.signUp({ ...joan, options: { emailRedirectTo: REDIRECT } }))
    const end = await follow((await mail(joan.email)).link)
    assert.ok(end.href.startsWith(REDIRECT), end.href)
    const { session } = good(await supabase.auth.exchangeCodeForSession(end.searchParams.get('code')))
    assert.equal(claims(session).amr[0].method, 'email/signup')
  })

  await check('another copy of the mail is as good', async () => {
    const supabase = client()
    const email = 'kay@example.com'
    good(await supabase.auth.signUp({ email, password: lin.password }))
    good(await supabase.auth.resend({ type: 'signup', email }))
    assert.equal(await mailsSoFar(email), 2)
    const { token_hash } = await mail(email)
    good(await supabase.auth.verifyOtp({ type: 'email', token_hash }))
  })

  await check('signing up twice looks like once', async () => {
    const { user } = good(await client().auth.signUp(lin))
    assert.deepEqual(user.identities, [])
  })

  await check('a new address counts once both have agreed', async () => {
    const supabase = await signedIn(lin)
    good(await supabase.auth.updateUser({ email: 'lin@new.example' }))
    const old = await mail(lin.email)
    good(await supabase.auth.verifyOtp({ type: 'email_change', email: lin.email, token: old.code }))
    assert.equal(good(await supabase.auth.getUser()).user.new_email, 'lin@new.example')
    const { token_hash } = await mail('lin@new.example')
    const { user } = good(await supabase.auth.verifyOtp({ type: 'email_change', token_hash }))
    assert.equal(user.email, 'lin@new.example')
  })
} else {
  good(await client().auth.signUp(lin))
}

await check('somebody without an address becomes somebody with one', async () => {
  const supabase = client()
  const { user, session } = good(await supabase.auth.signInAnonymously({ options: { data: { theme: 'dark' } } }))
  assert.deepEqual([user.is_anonymous, claims(session).is_anonymous], [true, true])
  const email = 'guest@example.com'
  const changed = good(await supabase.auth.updateUser({ email })).user
  assert.equal(changed.is_anonymous, CONFIRMS)
  if (CONFIRMS) {
    const { code } = await mail(email)
    good(await supabase.auth.verifyOtp({ type: 'email_change', email, token: code }))
  }
  good(await supabase.auth.updateUser({ password: 'a-long-enough-secret' }))
  const again = good(await client().auth.signInWithPassword({ email, password: 'a-long-enough-secret' })).user
  assert.deepEqual([again.id, again.is_anonymous], [user.id, false])
})

// Mails

await check('a code signs in, once', async () => {
  const supabase = client()
  good(await supabase.auth.signInWithOtp({ email: ada.email }))
  const { code, kind } = await mail(ada.email)
  assert.equal(kind, 'magiclink')
  const given = { type: 'email', email: ada.email, token: code }
  assert.equal(good(await supabase.auth.verifyOtp(given)).user.id, ada.user_id)
  const error = bad(await client().auth.verifyOtp(given))
  assert.deepEqual([error.status, error.code], [403, 'otp_expired'])
})

await check('an unknown address is told so where nobody is made', async () => {
  const email = 'nobody@example.com'
  const error = bad(await client().auth.signInWithOtp({ email, options: { shouldCreateUser: false } }))
  assert.deepEqual([error.status, error.code], [422, 'otp_disabled'])
})

await check('the hash of a link signs in', async () => {
  const supabase = client()
  good(await supabase.auth.signInWithOtp({ email: ada.email }))
  const { token_hash } = await mail(ada.email)
  assert.equal(good(await supabase.auth.verifyOtp({ type: 'magiclink', token_hash })).user.id, ada.user_id)
})

await check('a link ends with tokens, or with a code for the verifier', async () => {
  const implicit = client()
  good(await implicit.auth.signInWithOtp({ email: ada.email, options: { emailRedirectTo: REDIRECT } }))
  const session = await adopt(implicit, await follow((await mail(ada.email)).link))
  assert.equal(session.user.id, ada.user_id)
  const pkce = client('pkce')
  good(await pkce.auth.signInWithOtp({ email: ada.email, options: { emailRedirectTo: REDIRECT } }))
  const end = await follow((await mail(ada.email)).link)
  const code = end.searchParams.get('code')
  assert.equal(good(await pkce.auth.exchangeCodeForSession(code)).user.id, ada.user_id)
  const spent = await follow((await mail(ada.email)).link)
  assert.equal(spent.searchParams.get('error_code'), 'otp_expired')
  assert.equal(fragment(spent).error_code, 'otp_expired')
})

await check('a recovery changes the password and says what it is', async () => {
  const supabase = client('pkce')
  const events = []
  supabase.auth.onAuthStateChange((event) => void events.push(event))
  good(await supabase.auth.resetPasswordForEmail(grace.email, { redirectTo: REDIRECT }))
  const end = await follow((await mail(grace.email)).link)
  good(await supabase.auth.exchangeCodeForSession(end.searchParams.get('code')))
  assert.ok(events.includes('PASSWORD_RECOVERY'), events.join())
  grace.password = 'remembered-this-time'
  good(await supabase.auth.updateUser({ password: grace.password }))
  await signedIn(grace)
})

await check('a nonce comes by mail', async () => {
  const supabase = await signedIn(grace)
  good(await supabase.auth.reauthenticate())
  const { kind, code } = await mail(grace.email)
  assert.equal(kind, 'reauthentication')
  grace.password = 'with-a-nonce-this-time'
  good(await supabase.auth.updateUser({ password: grace.password, nonce: code }))
})

// Browsers and providers

await check('a provider signs in with a code for the verifier', async () => {
  const supabase = client('pkce')
  const options = { redirectTo: REDIRECT, skipBrowserRedirect: true }
  const { url } = good(await supabase.auth.signInWithOAuth({ provider: 'github', options }))
  const end = await choose(url, { email: ada.email })
  assert.ok(end.href.startsWith(`${REDIRECT}?`), end.href)
  const code = end.searchParams.get('code')
  const { user, session } = good(await supabase.auth.exchangeCodeForSession(code))
  assert.equal(user.id, ada.user_id)
  assert.ok(session.provider_token)
  assert.deepEqual(user.app_metadata.providers, ['email', 'github'])
})

await check('a code is worth nothing without its verifier', async () => {
  const [one, other] = [client('pkce'), client('pkce')]
  const options = { redirectTo: REDIRECT, skipBrowserRedirect: true }
  const { url } = good(await one.auth.signInWithOAuth({ provider: 'github', options }))
  good(await other.auth.signInWithOAuth({ provider: 'github', options }))
  const code = (await choose(url, { email: ada.email })).searchParams.get('code')
  assert.equal(bad(await other.auth.exchangeCodeForSession(code)).code, 'bad_code_verifier')
  good(await one.auth.exchangeCodeForSession(code))
})

await check('a provider signs in with tokens in the fragment', async () => {
  const supabase = client()
  const options = { redirectTo: REDIRECT, skipBrowserRedirect: true }
  const { url } = good(await supabase.auth.signInWithOAuth({ provider: 'google', options }))
  const end = await choose(url, { email: 'mary@example.com', name: 'Mary' })
  assert.deepEqual([end.search, 'sb' in fragment(end)], ['', true])
  assert.equal((await adopt(supabase, end)).user.user_metadata.full_name, 'Mary')
})

await check('whoever changes their mind comes back with an error', async () => {
  const options = { redirectTo: REDIRECT, skipBrowserRedirect: true }
  const { url } = good(await client('pkce').auth.signInWithOAuth({ provider: 'google', options }))
  const end = await choose(url, { decision: 'deny' })
  assert.equal(end.searchParams.get('error'), 'access_denied')
  assert.equal(fragment(end).error, 'access_denied')
})

await check('a domain signs in', async () => {
  const supabase = client('pkce')
  const options = { redirectTo: REDIRECT, skipBrowserRedirect: true }
  const { url } = good(await supabase.auth.signInWithSSO({ domain: 'corp.example', options }))
  const end = await choose(url, { email: 'lin@corp.example' })
  const { session } = good(await supabase.auth.exchangeCodeForSession(end.searchParams.get('code')))
  assert.equal(claims(session).amr[0].method, 'sso/saml')
  const error = bad(await client().auth.signInWithSSO({ domain: 'other.example', options }))
  assert.deepEqual([error.status, error.code], [404, 'sso_provider_not_found'])
})

await check('a token of a provider signs in', async () => {
  const { id_token } = await dev('/id-token', { provider: 'google', email: ada.email, nonce: 'once' })
  const given = { provider: 'google', token: id_token, nonce: 'once' }
  assert.equal(good(await client().auth.signInWithIdToken(given)).user.id, ada.user_id)
  const error = bad(await client().auth.signInWithIdToken({ ...given, nonce: 'twice' }))
  assert.deepEqual([error.status, error.message], [400, 'Nonces mismatch'])
})

await check('an identity is linked and unlinked', async () => {
  const supabase = await signedIn(grace)
  const options = { redirectTo: REDIRECT, skipBrowserRedirect: true }
  const { url } = good(await supabase.auth.linkIdentity({ provider: 'gitlab', options }))
  await choose(url, { email: 'grace.hopper@example.com' })
  const { identities } = good(await supabase.auth.getUserIdentities())
  assert.deepEqual(identities.map(({ provider }) => provider), ['email', 'gitlab'])
  good(await supabase.auth.unlinkIdentity(identities[1]))
  const error = bad(await supabase.auth.unlinkIdentity(identities[0]))
  assert.deepEqual([error.status, error.code], [422, 'single_identity_not_deletable'])
})

// The second factor

/// The code of a base32 secret in the step that is `offset` steps from now.
const totp = (secret, offset = 0) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  const bits = [...secret].map((c) => alphabet.indexOf(c).toString(2).padStart(5, '0')).join('')
  const key = Buffer.from(bits.match(/.{8}/g).map((byte) => parseInt(byte, 2)))
  const step = Buffer.alloc(8)
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30_000) + offset))
  const tag = createHmac('sha1', key).update(step).digest()
  const number = tag.readUInt32BE(tag[19] & 15) & 0x7fffffff
  return String(number % 1_000_000).padStart(6, '0')
}

await check('a second factor raises the level, and lowers it when it goes', async () => {
  const supabase = await signedIn(grace)
  const { mfa } = supabase.auth
  const factor = good(await mfa.enroll({ factorType: 'totp', friendlyName: 'phone' }))
  assert.match(factor.totp.qr_code, /^data:image\/svg\+xml;utf-8,.*<svg/s)
  assert.ok(factor.totp.uri.includes(factor.totp.secret))
  const wrong = bad(await mfa.challengeAndVerify({ factorId: factor.id, code: '000000' }))
  assert.deepEqual([wrong.status, wrong.code], [422, 'mfa_verification_failed'])
  const before = good(await supabase.auth.getSession()).session.refresh_token
  const challenge = good(await mfa.challenge({ factorId: factor.id }))
  const code = totp(factor.totp.secret)
  good(await mfa.verify({ factorId: factor.id, challengeId: challenge.id, code }))
  const level = good(await mfa.getAuthenticatorAssuranceLevel())
  assert.deepEqual([level.currentLevel, level.nextLevel], ['aal2', 'aal2'])
  assert.notEqual(good(await supabase.auth.getSession()).session.refresh_token, before)
  assert.equal(good(await mfa.listFactors()).totp.length, 1)

  const elsewhere = await signedIn(grace)
  const next = good(await elsewhere.auth.mfa.getAuthenticatorAssuranceLevel())
  assert.deepEqual([next.currentLevel, next.nextLevel], ['aal1', 'aal2'])
  const guarded = bad(await elsewhere.auth.updateUser({ password: 'without-the-phone' }))
  assert.deepEqual([guarded.status, guarded.code], [401, 'insufficient_aal'])
  const replayed = bad(await elsewhere.auth.mfa.challengeAndVerify({ factorId: factor.id, code }))
  assert.equal(replayed.code, 'mfa_verification_failed')
  good(await elsewhere.auth.mfa.challengeAndVerify({ factorId: factor.id, code: totp(factor.totp.secret, 1) }))

  good(await mfa.unenroll({ factorId: factor.id }))
  good(await supabase.auth.refreshSession())
  assert.equal(good(await mfa.getAuthenticatorAssuranceLevel()).currentLevel, 'aal1')
})

// Signing out

await check('each scope ends what it says', async () => {
  for (const [scope, here, there] of [['local', false, true], ['others', true, false], ['global', false, false]]) {
    const [one, two] = [await signedIn(grace), await signedIn(grace)]
    const sessions = [good(await one.auth.getSession()).session, good(await two.auth.getSession()).session]
    assert.equal((await one.auth.signOut({ scope })).error, null)
    for (const [session, alive] of [[sessions[0], here], [sessions[1], there]]) {
      const { error } = await client().auth.refreshSession({ refresh_token: session.refresh_token })
      assert.equal(error === null, alive, `${scope}: ${error}`)
    }
  }
})

done()
