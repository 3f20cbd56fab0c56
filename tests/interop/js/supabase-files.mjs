// supabase-js keeps files in the cloud: up, down, listed, moved, copied, removed, signed for others.

import assert from 'node:assert/strict'
import { createClient } from '@supabase/supabase-js'
import { bad, check, cloud, done, good } from './check.mjs'
import { bytes, key, signIn } from './files.mjs'

const [ada, grace] = cloud.demo.people
const { supabase } = await signIn(ada)
const bucket = supabase.storage.from(cloud.demo.bucket)
const anybody = createClient(cloud.url, cloud.key, { auth: { persistSession: false } })
const read = async (name, from = bucket) => Buffer.from(await good(await from.download(key(name))).arrayBuffer())
const names = async (folder) => good(await bucket.list(key(folder))).map(({ name }) => name)

// Up and down

await check('bytes come back as they were, with their type', async () => {
  const content = bytes(300_001)
  const { path, fullPath, id } = good(await bucket.upload(key('a.bin'), content, { contentType: 'image/png' }))
  assert.deepEqual([path, fullPath], [key('a.bin'), `${cloud.demo.bucket}/${key('a.bin')}`])
  assert.match(id, /^[0-9a-f-]{36}$/)
  const blob = good(await bucket.download(key('a.bin')))
  assert.equal(blob.type, 'image/png')
  assert.deepEqual(Buffer.from(await blob.arrayBuffer()), content)
})

await check('a blob is sent as a form and arrives as its content alone', async () => {
  const blob = new Blob(['a form has ', 'two parts'], { type: 'text/plain' })
  good(await bucket.upload(key('form.txt'), blob, { cacheControl: '120', metadata: { mood: 'good' } }))
  assert.equal(String(await read('form.txt')), 'a form has two parts')
  const info = good(await bucket.info(key('form.txt')))
  assert.deepEqual([info.size, info.contentType, info.cacheControl], [20, 'text/plain', 'max-age=120'])
  assert.deepEqual(info.metadata, { mood: 'good' })
})

await check('an empty file is a file', async () => {
  good(await bucket.upload(key('empty'), Buffer.alloc(0)))
  assert.equal((await read('empty')).length, 0)
})

await check('a name that is taken is a duplicate and keeps its bytes', async () => {
  good(await bucket.upload(key('taken.txt'), 'first'))
  const error = bad(await bucket.upload(key('taken.txt'), 'second'))
  assert.equal(error.name, 'StorageApiError')
  assert.deepEqual([error.status, error.statusCode], [400, '409'])
  assert.equal(error.message, 'The resource already exists')
  assert.equal(String(await read('taken.txt')), 'first')
})

await check('an upsert and an update replace the bytes', async () => {
  good(await bucket.upload(key('taken.txt'), 'third', { upsert: true }))
  assert.equal(String(await read('taken.txt')), 'third')
  good(await bucket.update(key('taken.txt'), 'fourth'))
  assert.equal(String(await read('taken.txt')), 'fourth')
})

await check('a file that is not there is not found', async () => {
  const error = bad(await bucket.info(key('nowhere')))
  assert.deepEqual([error.status, error.statusCode, error.message], [400, '404', 'Object not found'])
  assert.equal(bad(await bucket.download(key('nowhere'))).name, 'StorageApiError')
  assert.equal((await bucket.exists(key('nowhere'))).data, false)
  assert.equal(good(await bucket.exists(key('a.bin'))), true)
})

await check('a name that the service does not take is refused', async () => {
  const error = bad(await bucket.upload(key('Größe.txt'), 'x'))
  assert.deepEqual([error.status, error.statusCode], [400, '400'])
  assert.match(error.message, /Invalid key/)
})

// Other people

await check('whoever is not signed in can neither read nor write', async () => {
  const theirs = anybody.storage.from(cloud.demo.bucket)
  bad(await theirs.download(key('a.bin')))
  bad(await theirs.upload(key('theirs.txt'), 'x'))
  assert.equal((await bucket.exists(key('theirs.txt'))).data, false)
})

await check('a member of the workspace reads, and nobody writes beside it', async () => {
  const hers = (await signIn(grace)).supabase.storage.from(cloud.demo.bucket)
  assert.equal(String(await read('taken.txt', hers)), 'fourth')
  const error = bad(await hers.upload('00000000-0000-4000-8000-000000000000/x.txt', 'x'))
  assert.deepEqual([error.status, error.statusCode], [400, '403'])
  assert.match(error.message, /row-level security/)
})

// Order

await check('a list has folders first, then files with their sizes', async () => {
  for (const name of ['list/b.txt', 'list/a.txt', 'list/deep/c.txt']) good(await bucket.upload(key(name), name))
  const entries = good(await bucket.list(key('list'), { sortBy: { column: 'name', order: 'asc' } }))
  assert.deepEqual(
    entries.map(({ name, id, metadata }) => [name, id === null, metadata?.size]),
    [
      ['deep', true, undefined],
      ['a.txt', false, 10],
      ['b.txt', false, 10],
    ],
  )
})

await check('a list is paged, sorted and searched', async () => {
  const page = (options) => bucket.list(key('list'), options).then(good)
  const down = { column: 'name', order: 'desc' }
  assert.deepEqual((await page({ limit: 1, offset: 2 })).map(({ name }) => name), ['b.txt'])
  assert.equal((await page({ sortBy: down })).filter(({ id }) => id)[0].name, 'b.txt')
  assert.deepEqual((await page({ search: 'a.' })).map(({ name }) => name), ['a.txt'])
  assert.deepEqual(await page({ offset: 100 }), [])
})

await check('the second kind of list goes on at a cursor', async () => {
  const seen = []
  let cursor
  do {
    const page = good(await bucket.listV2({ prefix: key('list/'), limit: 2, cursor, with_delimiter: false }))
    assert.ok(page.objects.length <= 2)
    seen.push(...page.objects.map(({ name, key: full }) => full ?? name))
    cursor = page.hasNext ? page.nextCursor : undefined
  } while (cursor)
  assert.deepEqual(seen, ['a.txt', 'b.txt', 'deep/c.txt'].map((name) => key(`list/${name}`)))
})

await check('a move leaves nothing behind', async () => {
  assert.equal(good(await bucket.move(key('list/a.txt'), key('moved/a.txt'))).message, 'Successfully moved')
  assert.equal(String(await read('moved/a.txt')), 'list/a.txt')
  assert.equal((await bucket.exists(key('list/a.txt'))).data, false)
})

await check('a move onto a file is refused and changes neither', async () => {
  const error = bad(await bucket.move(key('list/b.txt'), key('moved/a.txt')))
  assert.deepEqual([error.status, error.statusCode], [400, '409'])
  assert.equal(String(await read('list/b.txt')), 'list/b.txt')
  assert.equal(String(await read('moved/a.txt')), 'list/a.txt')
})

await check('a move of nothing is not found', async () => {
  assert.equal(bad(await bucket.move(key('nowhere'), key('somewhere'))).statusCode, '404')
})

await check('a copy has the same bytes and is another file', async () => {
  const { path } = good(await bucket.copy(key('a.bin'), key('copy.bin')))
  assert.equal(path, `${cloud.demo.bucket}/${key('copy.bin')}`)
  assert.deepEqual(await read('copy.bin'), await read('a.bin'))
  good(await bucket.update(key('copy.bin'), 'changed'))
  assert.equal((await read('a.bin')).length, 300_001)
})

await check('removing names what is gone and is silent on what never was', async () => {
  const gone = good(await bucket.remove([key('copy.bin'), key('nowhere'), key('list/deep/c.txt')]))
  assert.deepEqual(gone.map(({ name }) => name).sort(), [key('copy.bin'), key('list/deep/c.txt')].sort())
  assert.deepEqual(await names('list'), ['b.txt'])
  assert.deepEqual(good(await bucket.remove([key('copy.bin')])), [])
})

// Addresses for others

await check('a signed address needs no person', async () => {
  const { signedUrl } = good(await bucket.createSignedUrl(key('a.bin'), 60))
  const answer = await fetch(signedUrl)
  assert.equal(answer.status, 200)
  assert.deepEqual(Buffer.from(await answer.arrayBuffer()), bytes(300_001))
  const part = await fetch(signedUrl, { headers: { range: 'bytes=300000-' } })
  assert.deepEqual([part.status, part.headers.get('content-range')], [206, 'bytes 300000-300000/300001'])
})

await check('a signed address may name the file that it is saved as', async () => {
  const { signedUrl } = good(await bucket.createSignedUrl(key('a.bin'), 60, { download: 'picture.png' }))
  const disposition = (await fetch(signedUrl)).headers.get('content-disposition')
  assert.match(disposition, /^attachment; filename.*picture\.png/)
})

await check('a signed address is good for its file alone', async () => {
  const { signedUrl } = good(await bucket.createSignedUrl(key('a.bin'), 60))
  const other = signedUrl.replace('a.bin', 'taken.txt')
  assert.notEqual(other, signedUrl)
  assert.equal((await fetch(other)).status, 400)
  assert.equal((await fetch(`${signedUrl}x`)).status, 400)
})

await check('several addresses come at once, each with its own verdict', async () => {
  const urls = good(await bucket.createSignedUrls([key('a.bin'), key('nowhere')], 60))
  assert.deepEqual(urls.map(({ path, error }) => [path, error === null]), [
    [key('a.bin'), true],
    [key('nowhere'), false],
  ])
  assert.equal((await fetch(urls[0].signedUrl)).status, 200)
})

await check('a signed permission uploads once, without a person', async () => {
  const { token, path } = good(await bucket.createSignedUploadUrl(key('guest.txt')))
  assert.equal(path, key('guest.txt'))
  const guest = anybody.storage.from(cloud.demo.bucket)
  good(await guest.uploadToSignedUrl(path, token, 'from a guest'))
  assert.equal(String(await read('guest.txt')), 'from a guest')
  assert.equal(bad(await guest.uploadToSignedUrl(path, token, 'again')).statusCode, '409')
  assert.equal(bad(await guest.uploadToSignedUrl(key('other.txt'), token, 'x')).status, 400)
})

await check('a permission to replace replaces', async () => {
  const { token, path } = good(await bucket.createSignedUploadUrl(key('guest.txt'), { upsert: true }))
  good(await anybody.storage.from(cloud.demo.bucket).uploadToSignedUrl(path, token, 'replaced'))
  assert.equal(String(await read('guest.txt')), 'replaced')
})

done()
