// supabase-js reads and writes the tables of the cloud, under their row policies.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createClient } from '@supabase/supabase-js'
import { bad, check, cloud, done, good } from './check.mjs'

const { org_id, workspace_id, people } = cloud.demo
const auth = { autoRefreshToken: false, persistSession: false, detectSessionInUrl: false }
const client = () => createClient(cloud.url, cloud.key, { auth })
const signIn = async ({ email, password }) => {
  const supabase = client()
  good(await supabase.auth.signInWithPassword({ email, password }))
  return supabase
}

const [ada, grace] = await Promise.all(people.map(signIn))
const stranger = client()
good(await stranger.auth.signUp({ email: 'stranger@example.com', password: 'a-long-enough-secret' }))
const strangersOrg = good(await stranger.from('org_memberships').select('org_id').single()).org_id

// Reading

await check('a to-one reference is embedded as an object', async () => {
  const rows = good(
    await ada.from('org_memberships').select('org_id, role, organizations(*)').eq('user_id', people[0].user_id),
  )
  assert.equal(rows.length, 1)
  assert.deepEqual([rows[0].org_id, rows[0].role], [org_id, 'owner'])
  assert.equal(rows[0].organizations.id, org_id)
  assert.equal(rows[0].organizations.slug, 'demo-team')
})

await check('a to-many reference is embedded as a list, with its own filter and order', async () => {
  const row = good(
    await ada
      .from('organizations')
      .select('name, members:org_memberships(role, profiles!inner(display_name)), workspaces(slug)')
      .eq('id', org_id)
      .in('members.role', ['owner', 'member'])
      .order('role', { referencedTable: 'members', ascending: false })
      .single(),
  )
  assert.deepEqual(row, {
    name: 'Demo Team',
    members: [
      { role: 'owner', profiles: { display_name: 'Ada' } },
      { role: 'member', profiles: { display_name: 'Grace' } },
    ],
    workspaces: [{ slug: 'demo' }],
  })
})

const conversation = randomUUID()

await check('a new conversation comes back as it was stored', async () => {
  const row = good(
    await ada
      .from('conversations')
      .insert({ id: conversation, workspace_id, name: 'Interop', started_by: people[0].user_id })
      .select()
      .single(),
  )
  assert.deepEqual([row.id, row.name, row.conversation_type, row.is_archived], [conversation, 'Interop', 'chat', false])
  assert.match(row.updated_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?\+00:00$/)
})

const files = ['a.txt', 'b.txt', 'c.md', 'd, (odd).txt', 'e.txt'].map((file_path, index) => ({
  id: randomUUID(),
  workspace_id,
  file_path,
  storage_path: `interop/${index}`,
  file_size: index * 1000,
  mime_type: file_path.endsWith('.md') ? 'text/markdown' : null,
  is_deleted: index === 4,
}))

await check('several rows are inserted in one call, and without select nothing comes back', async () => {
  const answer = await ada.from('workspace_files').insert(files)
  assert.equal(good(answer), null)
  assert.equal(answer.status, 201)
})

const table = () => ada.from('workspace_files').select('file_path').order('file_path')
const paths = async (query) => good(await query).map((row) => row.file_path)
const [a, b, c, d, e] = files.map((file) => file.file_path)

const filters = {
  eq: [(query) => query.eq('file_path', b), [b]],
  'eq with reserved characters': [(query) => query.eq('file_path', d), [d]],
  neq: [(query) => query.neq('file_path', b), [a, c, d, e]],
  in: [(query) => query.in('file_path', [a, d, 'none']), [a, d]],
  'gte and lt': [(query) => query.gte('file_size', 1000).lt('file_size', 3000), [b, c]],
  like: [(query) => query.like('file_path', '_.txt'), [a, b, e]],
  ilike: [(query) => query.ilike('file_path', '%.TXT'), [a, b, d, e]],
  'is null': [(query) => query.is('mime_type', null), [a, b, d, e]],
  'is true': [(query) => query.is('is_deleted', true), [e]],
  not: [(query) => query.not('mime_type', 'is', null), [c]],
  or: [(query) => query.or('file_path.eq.a.txt,and(file_size.gt.1000,is_deleted.is.false)'), [a, c, d]],
  match: [(query) => query.match({ workspace_id, file_path: e }), [e]],
  limit: [(query) => query.limit(2), [a, b]],
  'range from the middle': [(query) => query.range(1, 3), [b, c, d]],
}
for (const [name, [narrow, expected]] of Object.entries(filters)) {
  await check(`filter: ${name}`, async () => assert.deepEqual(await paths(narrow(table())), expected))
}

await check('order takes several columns, directions and the place of nulls', async () => {
  const query = ada.from('workspace_files').select('file_path')
  const ordered = query.order('mime_type', { nullsFirst: true }).order('file_size', { ascending: false })
  assert.deepEqual(await paths(ordered), [e, d, b, a, c])
})

await check('a range with an exact count says how many there are in all', async () => {
  const query = ada.from('workspace_files').select('file_path', { count: 'exact' }).order('file_path')
  const answer = await query.range(0, 1)
  assert.deepEqual(await paths(answer), [a, b])
  assert.deepEqual([answer.count, answer.status], [5, 206])
})

await check('head counts without rows', async () => {
  const { data, count, error } = await ada.from('workspace_files').select('*', { count: 'exact', head: true })
  assert.deepEqual([error, data, count], [null, null, 5])
})

await check('a range behind the end is refused', async () => {
  const query = ada.from('workspace_files').select('*', { count: 'exact' })
  const answer = await query.range(100, 199)
  assert.equal(bad(answer).code, 'PGRST103')
  assert.equal(answer.status, 416)
})

await check('single wants one row and maybeSingle bears none', async () => {
  const wanted = (path) => ada.from('workspace_files').select('file_path').like('file_path', path)
  assert.deepEqual(good(await wanted(b).single()), { file_path: b })
  assert.deepEqual(good(await wanted(b).maybeSingle()), { file_path: b })
  assert.equal(good(await wanted('none').maybeSingle()), null)
  for (const answer of [await wanted('none').single(), await wanted('%').single(), await wanted('%').maybeSingle()]) {
    assert.equal(bad(answer).code, 'PGRST116')
    assert.equal(answer.status, 406)
  }
})

await check('an unknown table, column or function is named with its code', async () => {
  assert.equal(bad(await ada.from('no_such_table').select()).code, 'PGRST205')
  assert.equal(bad(await ada.from('workspaces').select('no_such_column')).code, '42703')
  assert.equal(bad(await ada.from('workspaces').insert({ no_such_column: 1 })).code, 'PGRST204')
  assert.equal(bad(await ada.rpc('no_such_function')).code, 'PGRST202')
  assert.equal(bad(await ada.from('workspaces').select().eq('id', 'no-uuid')).code, '22P02')
})

// Writing

await check('a second row with the same key is a conflict', async () => {
  const answer = await ada.from('workspace_files').insert({ ...files[0], id: randomUUID() })
  assert.equal(bad(answer).code, '23505')
  assert.equal(answer.status, 409)
})

await check('a reference to nothing and a missing value are refused', async () => {
  const orphan = { workspace_id, file_path: 'x' }
  assert.equal(bad(await ada.from('workspace_files').insert(orphan)).code, '23502')
  const member = { workspace_id, user_id: people[0].user_id, id: 'no-uuid' }
  assert.equal(bad(await ada.from('workspace_members').insert(member)).code, '22P02')
})

await check('upsert merges on the key it is told', async () => {
  const { id: _, ...file } = files[1]
  const changed = { ...file, checksum: 'abc', version: 2 }
  const added = { ...file, file_path: 'z.txt', checksum: 'def', version: 1 }
  const rows = good(
    await ada
      .from('workspace_files')
      .upsert([changed, added], { onConflict: 'workspace_id,file_path' })
      .select('id, file_path, checksum, version'),
  )
  assert.deepEqual(rows[0], { id: files[1].id, file_path: b, checksum: 'abc', version: 2 })
  assert.deepEqual([rows[1].file_path, rows[1].version], ['z.txt', 1])
})

await check('upsert without a named key uses the primary one', async () => {
  const file = { ...files[2], checksum: 'ghi' }
  const row = good(await ada.from('workspace_files').upsert(file).select('id, checksum').single())
  assert.deepEqual(row, { id: files[2].id, checksum: 'ghi' })
})

await check('upsert that ignores duplicates leaves them alone and returns the new rows only', async () => {
  const added = { ...files[0], id: randomUUID(), file_path: 'y.txt' }
  const rows = good(
    await ada
      .from('workspace_files')
      .upsert([{ ...files[0], checksum: 'lost' }, added], { ignoreDuplicates: true })
      .select('file_path'),
  )
  assert.deepEqual(rows, [{ file_path: 'y.txt' }])
  assert.equal(good(await table().select('checksum').eq('id', files[0].id).single()).checksum, null)
})

await check('an update that names the version it saw wins once', async () => {
  const seen = good(await ada.from('workspaces').select('updated_at').eq('id', workspace_id).single()).updated_at
  const claim = (supabase, current_step) =>
    supabase.from('workspaces').update({ current_step }).eq('id', workspace_id).eq('updated_at', seen).select()
  const first = good(await claim(ada, 'from Ada'))
  assert.equal(first.length, 1)
  assert.notEqual(first[0].updated_at, seen)
  assert.deepEqual(good(await claim(grace, 'from Grace')), [])
  const row = good(await grace.from('workspaces').select('current_step, updated_at').eq('id', workspace_id).single())
  assert.deepEqual(row, { current_step: 'from Ada', updated_at: first[0].updated_at })
})

await check('times and counters are set by the cloud, whatever is sent', async () => {
  const sent = { name: 'renamed', last_seq: 99, created_at: '2001-01-01T00:00:00Z', updated_at: '2001-01-01T00:00:00Z' }
  const row = good(await ada.from('conversations').update(sent).eq('id', conversation).select().single())
  assert.deepEqual([row.name, row.last_seq], ['renamed', 0])
  assert.ok(!row.created_at.startsWith('2001') && !row.updated_at.startsWith('2001'))
})

await check('json is stored whole and can be asked for in parts', async () => {
  const shared_memory = { theme: 'tea', list: [1, 2.5, 'ö', null], deep: { 'a.b': true } }
  good(await ada.from('workspaces').update({ shared_memory }).eq('id', workspace_id))
  const row = good(
    await ada
      .from('workspaces')
      .select('shared_memory, theme:shared_memory->>theme, second:shared_memory->list->1')
      .contains('shared_memory', { theme: 'tea' })
      .single(),
  )
  assert.deepEqual(row, { shared_memory, theme: 'tea', second: 2.5 })
})

await check('delete returns what it removed, and removes no more', async () => {
  const query = ada.from('workspace_files').delete().in('file_path', ['y.txt', 'z.txt'])
  const removed = good(await query.select('file_path'))
  assert.deepEqual(removed.map((row) => row.file_path).sort(), ['y.txt', 'z.txt'])
  const answer = await ada.from('workspace_files').delete().eq('file_path', 'y.txt')
  assert.equal(good(answer), null)
  assert.equal(answer.status, 204)
  assert.equal((await paths(table())).length, 5)
})

// Messages

const message = (content) => ({
  id: randomUUID(),
  conversation_id: conversation,
  role: 'user',
  content,
  sender_user_id: people[0].user_id,
})

await check('messages are numbered in the order they come', async () => {
  const batch = good(await ada.from('messages').insert(['one', 'two'].map(message)).select('content, seq'))
  assert.deepEqual(batch, [
    { content: 'one', seq: 1 },
    { content: 'two', seq: 2 },
  ])
  const one = good(await ada.from('messages').insert({ ...message('three'), seq: 77 }).select('seq').single())
  assert.equal(one.seq, 3)
})

await check('sending a message again changes nothing', async () => {
  const repeated = message('four')
  for (const expected of [1, 0]) {
    const sent = ada.from('messages').upsert(repeated, { onConflict: 'id', ignoreDuplicates: true })
    assert.equal(good(await sent.select()).length, expected)
  }
  const rows = good(await grace.from('messages').select('content, seq').gt('seq', 2).order('seq'))
  assert.deepEqual(rows.map((row) => row.content), ['three', 'four'])
  assert.ok(rows[1].seq > rows[0].seq)
})

await check('messages can be neither changed nor removed', async () => {
  const update = ada.from('messages').update({ content: 'x' })
  for (const query of [update, ada.from('messages').delete()]) {
    assert.deepEqual(good(await query.eq('conversation_id', conversation).select()), [])
  }
  const rows = good(await ada.from('messages').select('content').eq('conversation_id', conversation).order('seq'))
  assert.deepEqual(rows.map((row) => row.content), ['one', 'two', 'three', 'four'])
})

await check("an agent's answer is the next message", async () => {
  const body = { agentSlug: cloud.demo.agent_slug, userMessage: 'hello', conversationId: conversation }
  const answer = good(await ada.functions.invoke('agent-chat', { body }))
  const row = good(await ada.from('messages').select('*, cloud_agents(slug)').eq('id', answer.messageId).single())
  assert.deepEqual([row.role, row.content, row.sender_user_id], ['assistant', answer.content, null])
  assert.equal(row.cloud_agents.slug, cloud.demo.agent_slug)
  assert.ok(row.seq > 4)
})

// Row policies

await check('nobody may speak as somebody else', async () => {
  const answer = await grace.from('messages').insert(message('as Ada'))
  assert.equal(bad(answer).code, '42501')
  assert.equal(answer.status, 403)
})

await check('a stranger sees nothing of an organisation', async () => {
  for (const name of ['workspaces', 'conversations', 'messages', 'workspace_files', 'cloud_agents']) {
    assert.deepEqual(good(await stranger.from(name).select()), [], name)
  }
  assert.deepEqual(good(await stranger.from('organizations').select('id')), [{ id: strangersOrg }])
  assert.equal(good(await stranger.from('profiles').select('id')).length, 1)
})

await check('a stranger writes nothing into an organisation', async () => {
  const workspace = { org_id, name: 'Mine', slug: 'mine' }
  for (const [name, row] of [
    ['workspaces', workspace],
    ['conversations', { workspace_id, name: 'Mine' }],
    ['workspace_files', { ...files[0], id: randomUUID(), file_path: 'mine' }],
    ['org_memberships', { org_id, user_id: randomUUID(), role: 'owner' }],
  ]) {
    const answer = await stranger.from(name).insert(row)
    assert.equal(bad(answer).code, '42501', name)
    assert.equal(answer.status, 403, name)
  }
  assert.deepEqual(good(await stranger.from('workspaces').update({ name: 'Mine' }).eq('id', workspace_id).select()), [])
  assert.deepEqual(good(await stranger.from('workspaces').delete().eq('id', workspace_id).select()), [])
  assert.equal(good(await ada.from('workspaces').select('name').eq('id', workspace_id).single()).name, 'Demo')
})

await check('a row cannot be moved out of reach', async () => {
  const moved = await ada.from('workspaces').update({ org_id: strangersOrg }).eq('id', workspace_id)
  assert.equal(bad(moved).code, '42501')
})

await check('rows come as comma-separated values, too', async () => {
  const answer = await ada.from('workspaces').select('id,name').eq('id', workspace_id).csv()
  assert.equal(good(answer).trimEnd(), `id,name\n${workspace_id},Demo`)
})

await check('a member may not do what only an owner may', async () => {
  assert.deepEqual(good(await grace.from('workspaces').delete().eq('id', workspace_id).select()), [])
  const agent = { org_id, name: 'Rival', slug: 'rival' }
  assert.equal(bad(await grace.from('cloud_agents').insert(agent)).code, '42501')
  good(await ada.from('cloud_agents').insert(agent))
})

await check('whoever is not signed in sees nothing and writes nothing', async () => {
  const nobody = client()
  for (const name of ['profiles', 'organizations', 'workspaces', 'messages']) {
    assert.deepEqual(good(await nobody.from(name).select()), [], name)
  }
  const answer = await nobody.from('workspaces').insert({ org_id, name: 'Mine', slug: 'mine' })
  assert.equal(bad(answer).code, '42501')
  assert.equal(answer.status, 401)
})

await check('a token that is none is refused', async () => {
  const global = { headers: { Authorization: 'Bearer rubbish' } }
  const answer = await createClient(cloud.url, cloud.key, { auth, global }).from('workspaces').select()
  assert.equal(bad(answer).code, 'PGRST301')
  assert.equal(answer.status, 401)
})

done()
