// eventsource-parser reads the proxy's stream, event by event, from the bytes of a fetch.

import assert from 'node:assert/strict'
import { createParser } from 'eventsource-parser'
import { EventSourceParserStream } from 'eventsource-parser/stream'
import { check, cloud, done } from './check.mjs'
import { signIn } from './files.mjs'

const [ada] = cloud.demo.people
const { token } = await signIn(ada)
const headers = { apikey: cloud.key, authorization: `Bearer ${token}`, 'content-type': 'application/json' }
const ask = (content, more = {}) =>
  fetch(`${cloud.url}/functions/v1/ai-proxy`, {
    method: 'POST',
    headers: { ...headers, ...more.headers },
    body: JSON.stringify({ messages: [{ role: 'user', content }], stream: true }),
  })

/// Everything that the parser says about `answer`.
async function parsed(answer) {
  const said = { events: [], comments: [], retries: [], errors: [] }
  const parser = createParser({
    onEvent: (event) => void said.events.push(event),
    onComment: (comment) => void said.comments.push(comment),
    onRetry: (wait) => void said.retries.push(wait),
    onError: (error) => void said.errors.push(error),
  })
  const text = new TextDecoder('utf-8', { fatal: true })
  for await (const piece of answer.body) parser.feed(text.decode(piece, { stream: true }))
  text.decode()
  return said
}

await check('the answer says that it is a stream and is not to be kept', async () => {
  const answer = await ask('hi')
  assert.equal(answer.status, 200)
  assert.match(answer.headers.get('content-type'), /^text\/event-stream/)
  assert.match(answer.headers.get('cache-control'), /no-cache|no-store/)
  await answer.body.cancel()
})

await check('every event is one chunk, and the last one says that it is done', async () => {
  const { events, errors } = await parsed(await ask('Count to 30'))
  assert.deepEqual(errors, [])
  for (const { event, id } of events) assert.deepEqual([event, id], [undefined, undefined])
  assert.equal(events.pop().data, '[DONE]')
  const chunks = events.map(({ data }) => JSON.parse(data))
  assert.ok(chunks.length > 30, `${chunks.length}`)
  for (const { object, id, model } of chunks) {
    assert.deepEqual([object, id], ['chat.completion.chunk', chunks[0].id])
    assert.ok(model)
  }
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
  for (let number = 1; number <= 30; number += 1) assert.match(text, new RegExp(`\\b${number}\\b`))
  const reasons = chunks.map(({ choices }) => choices[0]?.finish_reason).filter(Boolean)
  assert.deepEqual(reasons, ['stop'])
})

await check('text of any script arrives whole', async () => {
  const words = 'Größe 日本語 😀 \\ "quoted"'
  const { events } = await parsed(await ask(words))
  const chunks = events.slice(0, -1).map(({ data }) => JSON.parse(data))
  const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
  assert.ok(text.includes('日本語') && text.includes('😀'), text)
})

await check('a stream of a platform reads the same events', async () => {
  const answer = await ask('Count to 12')
  const events = []
  const stream = answer.body.pipeThrough(new TextDecoderStream()).pipeThrough(new EventSourceParserStream())
  for await (const { data } of stream) events.push(data)
  assert.equal(events.pop(), '[DONE]')
  const text = events.map((data) => JSON.parse(data).choices[0]?.delta.content ?? '').join('')
  assert.match(text, /10, 11, 12/)
})

await check('events come one by one and not in a lump', async () => {
  const answer = await ask('Count to 40')
  let pieces = 0
  for await (const piece of answer.body) pieces += piece.length > 0
  assert.ok(pieces > 5, `${pieces} pieces`)
})

await check('a stream that breaks off never says that it is done', async () => {
  const answer = await ask('Count to 100', { headers: { 'x-cloud-dev-fault': 'cut=900' } })
  const said = []
  const parser = createParser({ onEvent: ({ data }) => void said.push(data) })
  const text = new TextDecoder()
  await assert.rejects(async () => {
    for await (const piece of answer.body) parser.feed(text.decode(piece, { stream: true }))
  })
  assert.ok(said.length > 0 && !said.includes('[DONE]'), `${said.length}`)
})

await check('a question that is refused is no stream', async () => {
  const answer = await ask('hi', { headers: { authorization: 'Bearer wrong' } })
  assert.equal(answer.status, 401)
  assert.match(answer.headers.get('content-type'), /^application\/json/)
})

done()
