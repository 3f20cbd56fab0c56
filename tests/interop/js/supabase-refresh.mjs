// supabase-js keeps itself signed in: every access token here is already older than it likes.

import assert from 'node:assert/strict'
import { createClient } from '@supabase/supabase-js'
import { bad, check, cloud, done, good } from './check.mjs'

const [ada] = cloud.demo.people
const auth = { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false }

/// A client that counts its requests by path and may be told to ask the cloud for a fault.
const signedIn = async () => {
  const requests = []
  const faults = []
  const watch = (input, init = {}) => {
    const { pathname } = new URL(input)
    requests.push(pathname)
    const headers = new Headers(init.headers)
    if (faults[0]?.path === pathname) headers.set('x-cloud-dev-fault', faults.shift().fault)
    return fetch(input, { ...init, headers })
  }
  const supabase = createClient(cloud.url, cloud.key, { auth, global: { fetch: watch } })
  good(await supabase.auth.signInWithPassword({ email: ada.email, password: ada.password }))
  const count = (path) => requests.filter((seen) => seen === path).length
  const forget = () => void (requests.length = 0)
  forget()
  return { supabase, count, forget, faults }
}
const TOKEN = '/auth/v1/token'
const WORKSPACES = '/rest/v1/workspaces'
const read = (supabase) => supabase.from('workspaces').select('id')

await check('ten reads at once share one refresh', async () => {
  const { supabase, count } = await signedIn()
  const answers = await Promise.all(Array.from({ length: 10 }, () => read(supabase)))
  for (const answer of answers) assert.equal(good(answer).length, 1)
  assert.deepEqual([count(TOKEN), count(WORKSPACES)], [1, 10])
})

await check('each refresh spends the token of the one before', async () => {
  const { supabase, count } = await signedIn()
  const tokens = new Set()
  supabase.auth.onAuthStateChange((event, session) => {
    if (event === 'TOKEN_REFRESHED') tokens.add(session.refresh_token)
  })
  for (let turn = 0; turn < 5; turn += 1) good(await read(supabase))
  assert.equal(count(TOKEN), tokens.size)
  assert.ok(tokens.size >= 5, `${tokens.size}`)
})

await check('a refresh that never arrived is sent again', async () => {
  const { supabase, count, faults } = await signedIn()
  faults.push({ path: TOKEN, fault: 'lose-request' })
  assert.equal(good(await read(supabase)).length, 1)
  assert.equal(count(TOKEN), 2)
})

await check('a refresh whose answer was lost gives the answer that was lost', async () => {
  const { supabase, count, faults } = await signedIn()
  faults.push({ path: TOKEN, fault: 'lose-reply' })
  assert.equal(good(await read(supabase)).length, 1)
  assert.equal(count(TOKEN), 2)
  assert.equal(good(await read(supabase)).length, 1)
})

await check('a read is repeated when the cloud is busy', async () => {
  const { supabase, count, faults } = await signedIn()
  faults.push({ path: WORKSPACES, fault: 'status=503; retry-after=0' })
  assert.equal(good(await read(supabase)).length, 1)
  assert.equal(count(WORKSPACES), 2)
})

await check('a write is not repeated, and its failure is told', async () => {
  const { supabase, count, faults } = await signedIn()
  faults.push({ path: WORKSPACES, fault: 'status=503' })
  const answer = await supabase.from('workspaces').update({ description: 'x' }).eq('slug', 'demo')
  bad(answer)
  assert.deepEqual([answer.status, count(WORKSPACES)], [503, 1])
})

await check('an answer that is no JSON is an error and not a crash', async () => {
  const { supabase, faults } = await signedIn()
  faults.push({ path: WORKSPACES, fault: 'html' })
  bad(await read(supabase))
})

done()
