// supabase-js and Phoenix's own client hold live connections to the cloud: channels, presence, changes, cuts.

import assert from 'node:assert/strict'
import { createClient } from '@supabase/supabase-js'
import { Presence, Socket } from 'phoenix'
import WebSocket from 'ws'
import { check, cloud, done, good } from './check.mjs'

const [ada, grace] = cloud.demo.people
const LIMIT = 10_000
const open = new Set()

/// A transport whose connections can be cut from outside.
class Cuttable extends WebSocket {
  constructor(...rest) {
    super(...rest)
    open.add(this)
    this.on('close', () => open.delete(this))
  }
}
const cut = () => open.forEach((socket) => socket.terminate())

/// Resolves with what `start` passes on, within a bound.
const within = (what, start) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what}: nothing after ${LIMIT} ms`)), LIMIT)
    const settle = (end) => (value) => (clearTimeout(timer), end(value))
    start(settle(resolve), settle(reject))
  })

/// A list that can be waited for.
const inbox = () => {
  const items = []
  const waiting = []
  const look = () => {
    for (const [wanted, resolve] of [...waiting]) {
      const found = items.find(wanted)
      if (found !== undefined) resolve(found)
    }
  }
  return {
    items,
    push: (item) => (items.push(item), look()),
    first: (what, wanted) => within(what, (resolve) => (waiting.push([wanted, resolve]), look())),
  }
}

const auth = { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false }
const signedIn = async (person) => {
  const realtime = { transport: Cuttable, reconnectAfterMs: () => 50 }
  const client = createClient(cloud.url, cloud.key, { auth, realtime })
  good(await client.auth.signInWithPassword({ email: person.email, password: person.password }))
  await client.realtime.setAuth()
  return client
}
const subscribed = (channel) =>
  within('subscribe', (resolve, reject) =>
    channel.subscribe((status, error) => {
      if (status === 'SUBSCRIBED') resolve(channel)
      if (status === 'CHANNEL_ERROR') reject(error ?? new Error(status))
    }),
  )

const one = await signedIn(ada)
const two = await signedIn(grace)
const workspace = cloud.demo.workspace_id

await check('a broadcast reaches the other and, on request, its sender with an answer', async () => {
  const [mine, theirs] = [inbox(), inbox()]
  const sender = one.channel('talk', { config: { broadcast: { self: true, ack: true } } })
  const reader = two.channel('talk')
  sender.on('broadcast', { event: 'said' }, (message) => mine.push(message.payload))
  reader.on('broadcast', { event: 'said' }, (message) => theirs.push(message.payload))
  await Promise.all([subscribed(sender), subscribed(reader)])
  assert.equal(await sender.send({ type: 'broadcast', event: 'said', payload: { text: 'grüß dich 🎉' } }), 'ok')
  for (const box of [mine, theirs]) await box.first('broadcast', ({ text }) => text === 'grüß dich 🎉')
  await one.removeChannel(sender)
  await two.removeChannel(reader)
})

await check('presence is tracked, synchronised and left', async () => {
  const seen = inbox()
  const watcher = one.channel('here', { config: { presence: { key: 'ada' } } })
  watcher.on('presence', { event: 'sync' }, () => seen.push(Object.keys(watcher.presenceState()).sort().join()))
  const other = two.channel('here', { config: { presence: { key: 'grace' } } })
  other.on('presence', { event: 'sync' }, () => {})
  await Promise.all([subscribed(watcher), subscribed(other)])
  assert.equal(await watcher.track({ doing: 'reading' }), 'ok')
  assert.equal(await other.track({ doing: 'typing' }), 'ok')
  await seen.first('both present', (keys) => keys === 'ada,grace')
  assert.equal(watcher.presenceState().grace[0].doing, 'typing')
  await two.removeChannel(other)
  await seen.first('one left', (keys) => keys === 'ada' && seen.items.includes('ada,grace'))
  await one.removeChannel(watcher)
})

const changes = inbox()
const listener = two.channel('tables')
await check('changes arrive under row policies and filters', async () => {
  const ready = inbox()
  const wanted = { event: '*', schema: 'public', table: 'workspaces', filter: 'slug=eq.live' }
  listener.on('postgres_changes', wanted, (change) => changes.push(change))
  listener.on('system', {}, (message) => ready.push(message))
  await subscribed(listener)
  await ready.first('Subscribed', (message) => message.message === 'Subscribed to PostgreSQL')
  const rows = ['other', 'live'].map((slug) => ({ org_id: cloud.demo.org_id, name: slug, slug }))
  const [, live] = good(await one.from('workspaces').insert(rows).select())
  good(await one.from('workspaces').update({ name: 'Live!' }).eq('slug', 'live').select())
  const inserted = await changes.first('insert', ({ eventType }) => eventType === 'INSERT')
  const updated = await changes.first('update', ({ eventType }) => eventType === 'UPDATE')
  assert.equal(inserted.new.id, live.id)
  assert.deepEqual([updated.new.name, updated.old], ['Live!', { id: live.id }])
  assert.equal(changes.items.length, 2, 'the other row is filtered out')
})

await check('a channel comes back after a cut, with its subscription', async () => {
  const joins = inbox()
  listener.on('system', {}, (message) => joins.push(message))
  cut()
  await joins.first('Subscribed again', (message) => message.message === 'Subscribed to PostgreSQL')
  good(await one.from('workspaces').update({ name: 'Back' }).eq('slug', 'live').select())
  await changes.first('a change after the cut', (change) => change.new?.name === 'Back')
  await two.removeChannel(listener)
})

await check('a private channel lets members in and nobody else', async () => {
  const member = one.channel(`workspace:${workspace}`, { config: { private: true } })
  await subscribed(member)
  await one.removeChannel(member)
  const nobody = createClient(cloud.url, cloud.key, { auth, realtime: { transport: Cuttable } })
  const refused = await subscribed(nobody.channel(`workspace:${workspace}`, { config: { private: true } })).then(
    () => undefined,
    (error) => error,
  )
  assert.match(String(refused?.message), /do not have permissions to read/)
  await nobody.removeAllChannels()
})

await check('a channel goes on under a refreshed token', async () => {
  const heard = inbox()
  const channel = one.channel('long', { config: { private: true, broadcast: { self: true, ack: true } } })
  channel.on('broadcast', { event: 'e' }, (message) => heard.push(message.payload))
  await subscribed(channel)
  good(await one.auth.refreshSession())
  await one.realtime.setAuth()
  assert.equal(await channel.send({ type: 'broadcast', event: 'e', payload: { n: 1 } }), 'ok')
  await heard.first('a broadcast after the refresh', ({ n }) => n === 1)
  await one.removeChannel(channel)
})

await one.removeAllChannels()
await two.removeAllChannels()
one.realtime.disconnect()
two.realtime.disconnect()

const socket = new Socket(`${cloud.url.replace('http', 'ws')}/socket`, {
  params: { apikey: cloud.key },
  transport: Cuttable,
  reconnectAfterMs: () => 50,
  rejoinAfterMs: () => 50,
})
socket.connect()
const room = socket.channel('room:1', {})
const presence = new Presence(room) // before the join, whose state it needs
const answered = (push) =>
  within('reply', (resolve, reject) => push.receive('ok', resolve).receive('error', reject).receive('timeout', reject))

await check('phoenix joins, pushes and gets its replies', async () => {
  await answered(room.join())
  assert.deepEqual(await answered(room.push('echo', { a: [1, null] })), { a: [1, null] })
  assert.deepEqual(await answered(room.push('fail', { no: 1 })).catch((error) => error), { no: 1 })
  const refused = await answered(socket.channel('room:refused', {}).join()).catch((error) => error)
  assert.equal(refused.reason, 'unauthorized')
})

await check('phoenix sends and receives bytes', async () => {
  const shouts = inbox()
  room.on('shout', (payload) => shouts.push(payload))
  room.push('shout', new Uint8Array([1, 2, 255]).buffer)
  const heard = await shouts.first('shout', () => true)
  assert.deepEqual([...new Uint8Array(heard)], [1, 2, 255])
  const reply = await answered(room.push('echo', new Uint8Array([9]).buffer))
  assert.deepEqual([...new Uint8Array(reply)], [9])
})

await check('phoenix follows who is present', async () => {
  const seen = inbox()
  presence.onSync(() => seen.push(presence.list((key) => key).join()))
  await answered(room.push('track', { key: 'ada', s: 'on' }))
  await seen.first('presence', (keys) => keys === 'ada')
})

await check('phoenix rejoins after a cut and after a crash', async () => {
  for (const disturb of [cut, () => room.push('crash', {})]) {
    const broke = within('error', (resolve) => room.onError(resolve))
    disturb()
    await broke
    const joined = (resolve) => (room.state === 'joined' ? resolve() : setTimeout(joined, 10, resolve))
    await within('rejoin', joined)
    const back = () => answered(room.push('echo', { back: true }))
    assert.deepEqual(await back(), { back: true })
  }
})

await answered(room.leave())
socket.disconnect()
done()
