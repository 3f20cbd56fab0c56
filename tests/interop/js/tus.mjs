// tus-js-client uploads in chunks, stops, and goes on.

import assert from 'node:assert/strict'
import { Upload } from 'tus-js-client'
import { check, cloud, done, good } from './check.mjs'
import { bytes, key, signIn } from './files.mjs'

const [ada] = cloud.demo.people
const { supabase, token } = await signIn(ada)
const bucket = supabase.storage.from(cloud.demo.bucket)
const chunkSize = 256 * 1024
const content = bytes(5 * chunkSize + 17)
const headers = { apikey: cloud.key, authorization: `Bearer ${token}`, 'x-upsert': 'false' }

/// An upload of `content`, the promise of its end, and its requests so far.
function upload(name, options = {}) {
  const requests = []
  let end
  const ended = new Promise((resolve, reject) => (end = { onSuccess: () => resolve(), onError: reject }))
  ended.catch(() => {}) // for those who do not wait for it
  const made = new Upload(content, {
    endpoint: `${cloud.url}/storage/v1/upload/resumable`,
    retryDelays: null,
    chunkSize,
    headers,
    metadata: { bucketName: cloud.demo.bucket, objectName: key(name), contentType: 'text/x-chunks', cacheControl: '60' },
    onAfterResponse: (request, answer) => void requests.push(`${request.getMethod()} ${answer.getStatus()}`),
    ...end,
    ...options,
  })
  return { upload: made, requests, ended }
}

/// Uploads `chunks` of them and stops; gives the address to go on at.
async function begin(name, chunks) {
  let stopped
  const stop = new Promise((resolve) => (stopped = resolve))
  let seen = 0
  const first = upload(name, {
    onChunkComplete: async () => {
      seen += 1
      if (seen === chunks) stopped(await first.upload.abort())
    },
  })
  first.upload.start()
  await stop
  return first.upload.url
}

const stored = async (name) => Buffer.from(await good(await bucket.download(key(name))).arrayBuffer())
const failure = (work) =>
  work.then(
    () => assert.fail('expected an error'),
    (error) => error,
  )
const patch = (url, offset, body) =>
  fetch(url, {
    method: 'PATCH',
    headers: {
      ...headers,
      'tus-resumable': '1.0.0',
      'upload-offset': `${offset}`,
      'content-type': 'application/offset+octet-stream',
    },
    body,
  })

await check('a file goes up in chunks', async () => {
  const { upload: made, requests, ended } = upload('whole')
  made.start()
  await ended
  assert.deepEqual(requests, ['POST 201', ...Array(6).fill('PATCH 204')])
  assert.deepEqual(await stored('whole'), content)
  const info = good(await bucket.info(key('whole')))
  assert.deepEqual([info.size, info.contentType, info.cacheControl], [content.length, 'text/x-chunks', 'max-age=60'])
})

await check('the first chunk can come with the request that creates', async () => {
  const { upload: made, requests, ended } = upload('with-creation', { uploadDataDuringCreation: true })
  made.start()
  await ended
  assert.deepEqual(requests, ['POST 201', ...Array(5).fill('PATCH 204')])
  assert.deepEqual(await stored('with-creation'), content)
})

await check('an upload that was stopped is no file yet', async () => {
  await begin('stopped', 2)
  assert.equal((await bucket.exists(key('stopped'))).data, false)
})

await check('another run goes on where the first one stopped', async () => {
  const uploadUrl = await begin('resumed', 2)
  const { upload: made, requests, ended } = upload('resumed', { uploadUrl })
  made.start()
  await ended
  assert.deepEqual(requests, ['HEAD 200', ...Array(4).fill('PATCH 204')])
  assert.deepEqual(await stored('resumed'), content)
})

await check('the previous upload is found by its fingerprint', async () => {
  const urlStorage = {
    kept: [],
    findAllUploads: async () => urlStorage.kept,
    findUploadsByFingerprint: async (print) => urlStorage.kept.filter(({ fingerprint }) => fingerprint === print),
    removeUpload: async (at) => void (urlStorage.kept = urlStorage.kept.filter(({ urlStorageKey }) => urlStorageKey !== at)),
    addUpload: async (fingerprint, entry) => {
      urlStorage.kept.push({ ...entry, fingerprint, urlStorageKey: fingerprint })
      return fingerprint
    },
  }
  const kept = { urlStorage, fingerprint: async () => 'this content', removeFingerprintOnSuccess: true }
  const first = upload('found', kept)
  const once = new Promise((resolve) => {
    first.upload.options.onChunkComplete = async () => resolve(await first.upload.abort())
  })
  first.upload.start()
  await once
  const second = upload('found', kept)
  const [previous] = await second.upload.findPreviousUploads()
  assert.equal(previous.size, content.length)
  second.upload.resumeFromPreviousUpload(previous)
  second.upload.start()
  await second.ended
  assert.equal(second.requests[0], 'HEAD 200')
  assert.equal(second.requests.filter((request) => request === 'PATCH 204').length, 5)
  assert.deepEqual(await stored('found'), content)
  assert.deepEqual(urlStorage.kept, [])
})

await check('a chunk for the wrong place is refused and spoils nothing', async () => {
  const uploadUrl = await begin('wrong', 1)
  for (const offset of [0, chunkSize - 1, chunkSize + 1]) {
    const answer = await patch(uploadUrl, offset, 'spoilt')
    assert.deepEqual([answer.status, await answer.text()], [409, 'Upload-Offset conflict\n'], `${offset}`)
  }
  const { upload: made, ended } = upload('wrong', { uploadUrl })
  made.start()
  await ended
  assert.deepEqual(await stored('wrong'), content)
})

await check('the client asks again after a wrong place and goes on by itself', async () => {
  // Somebody else was faster with the second chunk.
  const patient = upload('overtaken', { retryDelays: [0, 10] })
  let ahead = false
  patient.upload.options.onBeforeRequest = async (request) => {
    if (request.getMethod() !== 'PATCH' || request.getHeader('Upload-Offset') !== `${chunkSize}` || ahead) return
    ahead = true
    const part = content.subarray(chunkSize, chunkSize + 1000)
    assert.equal((await patch(request.getURL(), chunkSize, part)).status, 204)
  }
  patient.upload.start()
  await patient.ended
  assert.ok(patient.requests.includes('PATCH 409'), patient.requests.join())
  assert.ok(patient.requests.includes('HEAD 200'), patient.requests.join())
  assert.deepEqual(await stored('overtaken'), content)
})

await check('an upload that nobody knows is begun anew', async () => {
  const { upload: made, requests, ended } = upload('anew', { uploadUrl: `${await begin('gone', 1)}AAAA` })
  made.start()
  await ended
  assert.deepEqual(requests, ['HEAD 404', 'POST 201', ...Array(6).fill('PATCH 204')])
  assert.deepEqual(await stored('anew'), content)
})

await check('an upload that was given up is gone', async () => {
  const url = await begin('given-up', 1)
  const { upload: made } = upload('given-up', { uploadUrl: url })
  made.url = url
  await made.abort(true)
  const answer = await fetch(url, { method: 'HEAD', headers: { ...headers, 'tus-resumable': '1.0.0' } })
  assert.ok([404, 410].includes(answer.status), `${answer.status}`)
})

await check('a name that is taken is refused', async () => {
  const { upload: made, ended } = upload('whole')
  made.start()
  const error = await failure(ended)
  assert.equal(error.originalResponse.getStatus(), 409)
  assert.match(error.originalResponse.getBody(), /already exists/)
})

await check('a name that is taken is replaced when every request says so', async () => {
  const { upload: made, ended } = upload('whole', { headers: { ...headers, 'x-upsert': 'true' } })
  made.start()
  await ended
  assert.deepEqual(await stored('whole'), content)
})

await check('whoever is not signed in creates nothing', async () => {
  const { upload: made, ended } = upload('nobody', { headers: { apikey: cloud.key } })
  made.start()
  const error = await failure(ended)
  const status = error.originalResponse.getStatus()
  assert.ok(status >= 400 && status < 500, `${status}`)
})

done()
