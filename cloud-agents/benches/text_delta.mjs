// What clients of other authors need to get from the bytes of an answer to its words: the same 1,000 events as in
// text_delta.rs, in chunks of one length, again and again. Arguments: `openai` or `parser`, bytes of a chunk, times.
//
// `openai` is the npm client's own stream, `parser` is eventsource-parser with JSON.parse, which does the least.
import { createParser } from 'eventsource-parser'
import { Stream } from 'openai/streaming'

const [who, size, times] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const event =
  'data: {"id":"chatcmpl-0123456789abc","object":"chat.completion.chunk","created":1767225600,"model":"dev-model","choices":[{"index":0,"delta":{"content":" world"},"finish_reason":null}]}\n\n'
const bytes = new TextEncoder().encode(event.repeat(1000) + 'data: [DONE]\n\n')
const chunks = []
for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.slice(at, at + size))

async function openai() {
  let at = 0
  const body = new ReadableStream({
    pull: (to) => (at < chunks.length ? to.enqueue(chunks[at++]) : to.close()),
  })
  let words = 0
  for await (const chunk of Stream.fromSSEResponse(new Response(body), new AbortController())) {
    words += chunk.choices[0].delta.content.length
  }
  return words
}

function parser() {
  let words = 0
  const found = createParser({
    onEvent: ({ data }) => {
      if (data !== '[DONE]') words += JSON.parse(data).choices[0].delta.content.length
    },
  })
  const decoder = new TextDecoder()
  for (const chunk of chunks) found.feed(decoder.decode(chunk, { stream: true }))
  return words
}

const read = { openai, parser }[who]
for (let n = 0; n < times; n++) {
  if ((await read()) !== 6000) throw new Error('not all words arrived')
}
