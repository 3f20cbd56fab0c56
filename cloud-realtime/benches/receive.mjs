// realtime-js reads the row changes of the bench's server; prints the processor time of this process in microseconds.
// Started by receive.rs: node receive.mjs <address> <rows of a burst> <bursts before> <bursts that count>
import { createRequire } from 'node:module'

const { RealtimeClient } = createRequire(`${process.env.NODE_MODULES}/`)('@supabase/realtime-js')
const [address, burst, before, count] = process.argv.slice(2).map((word, n) => (n ? Number(word) : word))
const client = new RealtimeClient(`${address}/realtime/v1`, { params: { apikey: 'sb_publishable_bench' } })
const channel = client.channel('notes')
const more = () => channel.send({ type: 'broadcast', event: 'more', payload: {} })
let rows = 0
let sum = 0
let start

channel.on('postgres_changes', { event: 'INSERT', schema: 'public', table: 'messages' }, ({ new: row }) => {
  sum += row.id.length + row.conversation_id.length + row.content.length + row.seq
  if (++rows % burst) return
  if (rows === burst * before) start = process.cpuUsage()
  if (rows < burst * (before + count)) return more()
  const { user, system } = process.cpuUsage(start)
  console.log(user + system)
  process.exit(sum > 0 ? 0 : 1)
})
channel.subscribe((status, error) => {
  if (status === 'SUBSCRIBED') more()
  else if (status !== 'CLOSED') throw error ?? new Error(status)
})
setTimeout(() => process.exit(1), 60_000)
