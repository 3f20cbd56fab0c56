// supabase-js signs people up, in and out, and uses the functions of the cloud.

import assert from 'node:assert/strict'
import {
  AuthApiError,
  AuthWeakPasswordError,
  FunctionsHttpError,
  createClient,
  isAuthSessionMissingError,
} from '@supabase/supabase-js'
import { bad, check, cloud, done, good } from './check.mjs'

const [ada, grace] = cloud.demo.people
const forgetful = { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false }
const client = (key = cloud.key, auth = {}) => createClient(cloud.url, key, { auth: { ...forgetful, ...auth } })
const signIn = async (person) => {
  const supabase = client()
  good(await supabase.auth.signInWithPassword({ email: person.email, password: person.password }))
  return supabase
}
const claims = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url'))

// Signing up

const newcomer = { email: 'Lin.New@Example.com', password: 'a-long-enough-secret' }

await check('signing up gives a session and keeps the metadata', async () => {
  const options = { data: { display_name: 'Lin' } }
  const { user, session } = good(await client().auth.signUp({ ...newcomer, options }))
  assert.equal(user.email, 'lin.new@example.com')
  assert.equal(user.user_metadata.display_name, 'Lin')
  assert.equal(user.role, 'authenticated')
  assert.ok(user.email_confirmed_at)
  assert.equal(session.user.id, user.id)
  assert.equal(session.token_type, 'bearer')
})

await check('signing up twice is refused', async () => {
  const error = bad(await client().auth.signUp(newcomer))
  assert.ok(error instanceof AuthApiError)
  assert.deepEqual([error.status, error.code], [422, 'user_already_exists'])
})

await check('a short password is refused as weak', async () => {
  const error = bad(await client().auth.signUp({ email: 'short@example.com', password: 'abc' }))
  assert.ok(error instanceof AuthWeakPasswordError, error.constructor.name)
  assert.deepEqual([error.status, error.code, error.reasons], [422, 'weak_password', ['length']])
})

await check('a newcomer owns an organisation and sees no other', async () => {
  const rows = good(await (await signIn(newcomer)).from('org_memberships').select('role, organizations(name)'))
  assert.deepEqual(rows, [{ role: 'owner', organizations: { name: "Lin's organization" } }])
})

// Signing in

await check('a password signs in, with the key of either kind', async () => {
  for (const key of [cloud.key, cloud.anonKey]) {
    const answer = await client(key).auth.signInWithPassword({ email: ada.email, password: ada.password })
    const { user, session } = good(answer)
    assert.equal(user.id, ada.user_id)
    assert.ok(Math.abs(session.expires_at - Date.now() / 1000 - session.expires_in) < 30)
    const { sub, role, aud, exp, iss, session_id } = claims(session.access_token)
    assert.deepEqual([sub, role, aud, exp], [ada.user_id, 'authenticated', 'authenticated', session.expires_at])
    assert.equal(iss, `${cloud.url}/auth/v1`)
    assert.ok(session_id)
  }
})

await check('a wrong password and an unknown address are the same refusal', async () => {
  for (const email of [ada.email, 'nobody@example.com']) {
    const error = bad(await client().auth.signInWithPassword({ email, password: 'wrong-password' }))
    assert.ok(error instanceof AuthApiError, error.constructor.name)
    assert.deepEqual([error.status, error.code], [400, 'invalid_credentials'])
    assert.equal(error.message, 'Invalid login credentials')
  }
})

await check('a wrong API key is refused before anything else', async () => {
  const error = bad(await client('sb_publishable_wrong').auth.signInWithPassword(ada))
  assert.equal(error.status, 401)
  assert.equal(error.message, 'Invalid API key')
})

// The person

await check('getUser asks the cloud who is signed in', async () => {
  const { user } = good(await (await signIn(grace)).auth.getUser())
  assert.deepEqual([user.id, user.email, user.aud], [grace.user_id, grace.email, 'authenticated'])
  assert.deepEqual(user.app_metadata, { provider: 'email', providers: ['email'] })
  assert.equal(user.identities[0].provider, 'email')
})

await check('getClaims verifies a token with the cloud', async () => {
  const { claims } = good(await (await signIn(grace)).auth.getClaims())
  assert.deepEqual([claims.sub, claims.email], [grace.user_id, grace.email])
})

await check('a forged token is refused', async () => {
  const { session } = good(await (await signIn(ada)).auth.getSession())
  const [head, , signature] = session.access_token.split('.')
  const body = { ...claims(session.access_token), sub: grace.user_id }
  const forged = [head, Buffer.from(JSON.stringify(body)).toString('base64url'), signature].join('.')
  const error = bad(await client().auth.getUser(forged))
  assert.deepEqual([error.status, error.code], [403, 'bad_jwt'])
})

await check('updateUser merges metadata and tells the listeners', async () => {
  const supabase = await signIn(newcomer)
  const events = []
  supabase.auth.onAuthStateChange((event) => void events.push(event))
  const { user } = good(await supabase.auth.updateUser({ data: { theme: 'dark' } }))
  assert.deepEqual([user.user_metadata.theme, user.user_metadata.display_name], ['dark', 'Lin'])
  assert.ok(events.includes('USER_UPDATED'), events.join())
})

await check('a changed password counts and the old one does not', async () => {
  const password = 'another-long-secret'
  good(await (await signIn(newcomer)).auth.updateUser({ password }))
  assert.equal(bad(await client().auth.signInWithPassword(newcomer)).code, 'invalid_credentials')
  newcomer.password = password
  await signIn(newcomer)
})

await check('asking for a mail says nothing about the address', async () => {
  for (const email of [ada.email, 'nobody@example.com']) {
    good(await client().auth.resetPasswordForEmail(email))
  }
})

// Refreshing

await check('refreshing gives new tokens that work', async () => {
  const supabase = await signIn(ada)
  const events = []
  supabase.auth.onAuthStateChange((event) => void events.push(event))
  const before = good(await supabase.auth.getSession()).session
  const { session } = good(await supabase.auth.refreshSession())
  assert.notEqual(session.refresh_token, before.refresh_token)
  assert.equal(claims(session.access_token).session_id, claims(before.access_token).session_id)
  assert.equal(good(await supabase.auth.getUser()).user.id, ada.user_id)
  assert.ok(events.includes('TOKEN_REFRESHED'), events.join())
})

await check('the token just spent is answered with its successor, and an older one ends the session', async () => {
  const first = good(await (await signIn(ada)).auth.getSession()).session.refresh_token
  const refresh = (refresh_token) => client().auth.refreshSession({ refresh_token })
  const second = good(await refresh(first)).session.refresh_token
  assert.equal(good(await refresh(first)).session.refresh_token, second)
  const third = good(await refresh(second)).session.refresh_token
  const error = bad(await refresh(first))
  assert.ok(error instanceof AuthApiError, error.constructor.name)
  assert.deepEqual([error.status, error.code], [400, 'refresh_token_already_used'])
  assert.equal(bad(await refresh(third)).code, 'refresh_token_already_used')
})

await check('an invented refresh token is refused', async () => {
  const error = bad(await client().auth.refreshSession({ refresh_token: 'abcdefghijkl' }))
  assert.deepEqual([error.status, error.code], [400, 'refresh_token_not_found'])
})

await check('a session outlives its client in a storage', async () => {
  const items = new Map()
  const storage = {
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  }
  const kept = { persistSession: true, storage }
  good(await client(cloud.key, kept).auth.signInWithPassword(ada))
  const again = client(cloud.key, kept)
  assert.equal(good(await again.auth.getUser()).user.id, ada.user_id)
  assert.equal(good(await again.from('workspaces').select('id')).length, 1)
})

// Functions

await check('an agent answers in its name', async () => {
  const supabase = await signIn(ada)
  const body = { agentSlug: cloud.demo.agent_slug, userMessage: 'what is 20 + 22?' }
  const answer = good(await supabase.functions.invoke('agent-chat', { body }))
  assert.match(answer.content, /20 \+ 22 = 42/)
  assert.equal(answer.agentName, 'Helper')
  assert.match(answer.messageId, /^[0-9a-f-]{36}$/)
})

await check('an agent remembers what it is told of the conversation', async () => {
  const messageHistory = [
    { role: 'user', content: 'hello' },
    { role: 'assistant', content: 'hello to you' },
  ]
  const body = { agentSlug: cloud.demo.agent_slug, userMessage: 'and now?', messageHistory }
  const answer = good(await (await signIn(ada)).functions.invoke('agent-chat', { body }))
  assert.match(answer.content, /turn 2/)
})

await check('an agent that is not there is a function error with a body', async () => {
  const body = { agentSlug: 'nobody', userMessage: 'hi' }
  const error = bad(await (await signIn(ada)).functions.invoke('agent-chat', { body }))
  assert.ok(error instanceof FunctionsHttpError, error.constructor.name)
  assert.equal(error.context.status, 404)
  assert.deepEqual(await error.context.json(), { error: 'Agent not found' })
})

await check('an unknown function is a function error 404', async () => {
  const error = bad(await (await signIn(ada)).functions.invoke('no-such-function', { body: {} }))
  assert.ok(error instanceof FunctionsHttpError, error.constructor.name)
  assert.equal(error.context.status, 404)
  assert.equal((await error.context.json()).code, 'NOT_FOUND')
})

await check('a function refuses whoever is not signed in', async () => {
  for (const key of [cloud.key, cloud.anonKey]) {
    const body = { agentSlug: cloud.demo.agent_slug, userMessage: 'hi' }
    const error = bad(await client(key).functions.invoke('agent-chat', { body }))
    assert.ok(error instanceof FunctionsHttpError, error.constructor.name)
    assert.equal(error.context.status, 401)
  }
})

await check('models and usage are read with GET', async () => {
  const supabase = await signIn(ada)
  const { models } = good(await supabase.functions.invoke('cloud-models', { method: 'GET' }))
  assert.equal(models[0].id, 'dev-model')
  const usage = good(await supabase.functions.invoke('cloud-usage', { method: 'GET' }))
  assert.ok(JSON.stringify(usage).length > 2, JSON.stringify(usage))
})

// Signing out

await check('signing out here ends this session and no other', async () => {
  const [here, there] = [await signIn(grace), await signIn(grace)]
  const gone = good(await here.auth.getSession()).session
  const events = []
  here.auth.onAuthStateChange((event) => void events.push(event))
  assert.equal((await here.auth.signOut({ scope: 'local' })).error, null)
  assert.ok(events.includes('SIGNED_OUT'), events.join())
  assert.equal(good(await here.auth.getSession()).session, null)

  const refused = bad(await client().auth.refreshSession({ refresh_token: gone.refresh_token }))
  assert.ok(refused instanceof AuthApiError, refused.constructor.name)
  assert.deepEqual([refused.status, refused.code], [400, 'refresh_token_not_found'])
  assert.ok(isAuthSessionMissingError(bad(await client().auth.getUser(gone.access_token))))

  good(await there.auth.getUser())
  good(await there.auth.refreshSession())
})

await check('signing out elsewhere leaves this session, and everywhere leaves none', async () => {
  const [here, there] = [await signIn(grace), await signIn(grace)]
  assert.equal((await here.auth.signOut({ scope: 'others' })).error, null)
  bad(await there.auth.refreshSession())
  good(await here.auth.refreshSession())
  const another = await signIn(grace)
  assert.equal((await here.auth.signOut({ scope: 'global' })).error, null)
  bad(await another.auth.refreshSession())
})

done()
