// Named checks: one line each on standard output, a plan at the end, and an exit code.
//
// `ok - name` or `not ok - name` with the reason below it, then `1..n`. Checks run one after the other and build
// on each other, as a user's session does; a failed one does not hide those after it.

import assert from 'node:assert/strict'

let seen = 0

/// What the harness passes on about the running cloud.
export const cloud = {
  url: process.env.CLOUD_URL,
  key: process.env.CLOUD_KEY,
  anonKey: process.env.CLOUD_ANON_KEY,
  demo: JSON.parse(process.env.CLOUD_DEMO),
}

export async function check(name, work) {
  seen += 1
  try {
    await work()
    console.log(`ok - ${name}`)
  } catch (error) {
    process.exitCode = 1
    console.log(`not ok - ${name}`)
    console.log(String(error?.stack ?? error).replaceAll(/^/gm, '  '))
  }
}

/// Ends the list of checks. A script that stops before this has failed.
export function done() {
  console.log(`1..${seen}`)
}

/// The data of a `{data, error}` answer that must have succeeded.
export function good({ data, error }) {
  assert.equal(error, null, `unexpected ${error?.name} ${JSON.stringify(error)}`)
  return data
}

/// The error of a `{data, error}` answer that must have failed.
export function bad({ data, error }) {
  assert.ok(error, `expected an error, got an answer with ${Object.keys(data ?? {})}`)
  return error
}
