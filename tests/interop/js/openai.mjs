// The openai package talks to the AI proxy of the cloud as if it were its own service.

import assert from 'node:assert/strict'
import OpenAI from 'openai'
import { check, cloud, done } from './check.mjs'

const [ada] = cloud.demo.people
const apikey = { apikey: cloud.key }
const answer = await fetch(`${cloud.url}/auth/v1/token?grant_type=password`, {
  method: 'POST',
  headers: { ...apikey, 'content-type': 'application/json' },
  body: JSON.stringify({ email: ada.email, password: ada.password }),
})
const { access_token } = await answer.json()

const client = (options = {}) =>
  new OpenAI({
    baseURL: `${cloud.url}/functions/v1/ai-proxy/v1`,
    apiKey: access_token,
    maxRetries: 0,
    timeout: 20_000,
    ...options,
  })
const model = 'dev-model'
const ask = (content) => ({ model, messages: [{ role: 'user', content }] })
const streamed = (content) => ({ ...ask(content), stream: true })
const text = (chunks) => chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('')
const collect = async (stream) => {
  const chunks = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}
const failure = async (work) => {
  try {
    await work
  } catch (error) {
    return error
  }
  throw new assert.AssertionError({ message: 'expected an error' })
}

// With the user's token as the key: alone, and with the key of the cloud beside it.
for (const [how, openai] of [
  ['with the key of the cloud', client({ defaultHeaders: apikey })],
  ["with the user's token alone", client()],
]) {
  await check(`a stream comes in pieces, ${how}`, async () => {
    const chunks = await collect(await openai.chat.completions.create(streamed('Count to 30')))
    assert.ok(chunks.length > 30, `${chunks.length}`)
    assert.match(text(chunks), /1, 2, 3, .* 29, 30\n/)
    assert.equal(chunks[0].choices[0].delta.role, 'assistant')
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop')
    assert.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1)
    assert.ok(chunks.every((chunk) => chunk.object === 'chat.completion.chunk' && chunk.usage === undefined))
  })

  await check(`a whole answer comes at once, ${how}`, async () => {
    const whole = await openai.chat.completions.create(ask('what is 20 + 22?'))
    assert.equal(whole.object, 'chat.completion')
    assert.equal(whole.choices[0].finish_reason, 'stop')
    assert.equal(whole.choices[0].message.role, 'assistant')
    assert.match(whole.choices[0].message.content, /20 \+ 22 = 42/)
    assert.equal(whole.usage.total_tokens, whole.usage.prompt_tokens + whole.usage.completion_tokens)
  })

  await check(`the models are listed, ${how}`, async () => {
    const models = await collect(await openai.models.list())
    assert.deepEqual(models.map(({ id, object }) => [id, object]), [[model, 'model']])
  })
}

const openai = client({ defaultHeaders: apikey })

await check('usage comes with the last piece when asked for', async () => {
  const stream_options = { include_usage: true }
  const chunks = await collect(await openai.chat.completions.create({ ...ask('hello'), stream: true, stream_options }))
  const last = chunks.at(-1)
  assert.deepEqual(last.choices, [])
  assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + last.usage.completion_tokens)
  assert.ok(last.usage.completion_tokens > 10)
  assert.ok(chunks.slice(0, -1).every((chunk) => chunk.usage === null))
})

await check('a stream and a whole answer say the same', async () => {
  const question = ask('list 3 ideas – “ünïcode” too, 🦀')
  const whole = await openai.chat.completions.create(question)
  const chunks = await collect(await openai.chat.completions.create({ ...question, stream: true }))
  assert.equal(text(chunks), whole.choices[0].message.content)
  assert.match(text(chunks), /“ünïcode” too, 🦀/)
})

await check("the package's own stream helper puts the pieces together", async () => {
  const stream = openai.chat.completions.stream(ask('Count to 5'))
  const deltas = []
  stream.on('content', (delta) => deltas.push(delta))
  const whole = await stream.finalChatCompletion()
  assert.match(whole.choices[0].message.content, /\n1, 2, 3, 4, 5\n/)
  assert.equal(deltas.join(''), whole.choices[0].message.content)
})

await check('pieces are sent one by one and not collected', async () => {
  let reads = 0
  const counting = async (input, init) => {
    const response = await fetch(input, init)
    const count = new TransformStream({ transform: (bytes, out) => ((reads += 1), out.enqueue(bytes)) })
    return new Response(response.body.pipeThrough(count), response)
  }
  const chunks = await collect(await client({ fetch: counting }).chat.completions.create(streamed('Count to 60')))
  assert.match(text(chunks), /59, 60\n/)
  assert.ok(reads >= 10, `${chunks.length} pieces in ${reads} reads`)
})

await check('a stream can be left in the middle, and the next one is whole', async () => {
  const stream = await openai.chat.completions.create(streamed('Count to 100'))
  let seen = 0
  for await (const _ of stream) {
    seen += 1
    if (seen === 5) break
  }
  assert.equal(seen, 5)
  assert.ok(stream.controller.signal.aborted)
  assert.match(text(await collect(await openai.chat.completions.create(streamed('Count to 9')))), /8, 9\n/)
})

await check('a stream can be aborted by a signal', async () => {
  const controller = new AbortController()
  const options = { signal: controller.signal }
  const stream = await openai.chat.completions.create(streamed('Count to 100'), options)
  const chunks = []
  for await (const chunk of stream) {
    chunks.push(chunk)
    if (chunks.length === 3) controller.abort()
  }
  assert.ok(chunks.length < 100, `${chunks.length}`)
  assert.doesNotMatch(text(chunks), /100/)
})

await check('the answer ends where max_tokens says', async () => {
  const whole = await openai.chat.completions.create({ ...ask('Count to 100'), max_completion_tokens: 4 })
  assert.deepEqual([whole.choices[0].finish_reason, whole.usage.completion_tokens], ['length', 4])
})

await check('a tool is asked for, and its result is read', async () => {
  const parameters = { type: 'object', properties: { city: { type: 'string' } } }
  const tools = [{ type: 'function', function: { name: 'weather', parameters } }]
  const question = ask('use weather')
  for (const stream of [true, false]) {
    const asked = stream
      ? await openai.chat.completions.stream({ ...question, tools }).finalChatCompletion()
      : await openai.chat.completions.create({ ...question, tools })
    const [{ message, finish_reason }] = asked.choices
    assert.equal(finish_reason, 'tool_calls')
    const [call] = message.tool_calls
    assert.deepEqual([call.function.name, JSON.parse(call.function.arguments)], ['weather', { city: 'use weather' }])
    const result = { role: 'tool', tool_call_id: call.id, content: 'sunny' }
    const messages = [...question.messages, message, result]
    const then = await openai.chat.completions.create({ model, tools, messages })
    assert.match(then.choices[0].message.content, /The tool returned: "sunny"/)
  }
})

// Refusals

await check('a wrong key is an authentication error', async () => {
  for (const options of [{ apiKey: 'wrong' }, { apiKey: 'wrong', defaultHeaders: apikey }, { apiKey: cloud.anonKey }]) {
    for (const stream of [false, true]) {
      const error = await failure(client(options).chat.completions.create({ ...ask('hi'), stream }))
      assert.ok(error instanceof OpenAI.AuthenticationError, error.constructor.name)
      assert.equal(error.status, 401)
    }
  }
})

await check('a wrong key of the cloud is an authentication error', async () => {
  const error = await failure(client({ defaultHeaders: { apikey: 'wrong' } }).models.list())
  assert.ok(error instanceof OpenAI.AuthenticationError, error.constructor.name)
})

await check('a question that makes no sense is a bad request with a reason', async () => {
  const error = await failure(openai.chat.completions.create({ model, messages: [] }))
  assert.ok(error instanceof OpenAI.BadRequestError, error.constructor.name)
  assert.equal(error.type, 'invalid_request_error')
  assert.match(error.message, /messages must not be empty/)
})

await check('an endpoint that is not there is not found', async () => {
  const error = await failure(openai.embeddings.create({ model, input: 'hi' }))
  assert.ok(error instanceof OpenAI.NotFoundError, error.constructor.name)
})

await check('a busy cloud is asked again after the time it names', async () => {
  for (const fault of ['status=503; retry-after=0', 'status=429; retry-after=0', 'lose-request']) {
    let requests = 0
    const flaky = (input, init) => {
      requests += 1
      const headers = new Headers(init.headers)
      if (requests === 1) headers.set('x-cloud-dev-fault', fault)
      return fetch(input, { ...init, headers })
    }
    const patient = client({ maxRetries: 1, fetch: flaky })
    assert.match((await patient.chat.completions.create(ask('2 * 3'))).choices[0].message.content, /2 \* 3 = 6/)
    assert.equal(requests, 2, fault)
  }
})

await check('a stream that breaks off is an error and not an end', async () => {
  const broken = client({ defaultHeaders: { ...apikey, 'x-cloud-dev-fault': 'cut=900' } })
  const stream = await broken.chat.completions.create(streamed('Count to 100'))
  const error = await failure(collect(stream))
  assert.equal(error.message, 'terminated')
})

await check('a used-up plan is a rate limit error with the code of a quota', async () => {
  const spent = await fetch(`${cloud.url}/functions/v1/cloud-usage`, {
    headers: { ...apikey, authorization: `Bearer ${access_token}` },
  })
  const { tokens_used, daily_limit, request_count } = await spent.json()
  assert.ok(tokens_used > 100 && tokens_used < daily_limit, `${tokens_used} of ${daily_limit}`)
  assert.ok(request_count > 15, `${request_count}`)
  const words = Array.from({ length: daily_limit }, () => 'word').join(' ')
  await openai.chat.completions.create(ask(words))
  const error = await failure(openai.chat.completions.create(ask('one more')))
  assert.ok(error instanceof OpenAI.RateLimitError, error.constructor.name)
  assert.equal(error.code, 'insufficient_quota')
})

done()
