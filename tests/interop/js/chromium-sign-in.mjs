// Chromium goes where a sign-in sends it, and back.
//
// Argument: what to do on the provider's pages. `SIGN_IN_URL` is the address that the application would open, `CHROMIUM`
// the browser. The page that the browser ends at is the SDK's own.

import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'
import { check, cloud, done } from './check.mjs'

const [story] = process.argv.slice(2)
const [ada] = cloud.demo.people
const start = new URL(process.env.SIGN_IN_URL)
const back = new URL(start.searchParams.get('redirect_to'))
const flow = back.searchParams.get('sb_flow_id')

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    '--no-sandbox',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
  ],
})
const page = await browser.newPage()
page.setDefaultTimeout(15_000)
const [asked, complaints] = [[], []]
page.on('request', (request) => asked.push(new URL(request.url())))
page.on('console', (message) => {
  if (message.location().url.startsWith(back.origin)) complaints.push(message.text())
})
// Nobody outside of this machine is asked for anything, whatever a provider's page wants to look like.
await page.route((url) => url.hostname !== '127.0.0.1', (route) => route.abort())
const ended = async () => {
  try {
    await page.waitForURL((url) => url.host === back.host)
  } catch {
    const { origin, pathname } = new URL(page.url())
    throw new Error(`the browser is at ${origin}${pathname}: ${await page.locator('body').innerText()}`)
  }
}

await check('a page of this machine cannot pass for the answer', async () => {
  const stray = await browser.newPage()
  const answer = await stray.goto(`${back.origin}/?code=forged&sb_flow_id=${flow}`)
  assert.equal(answer.status(), 404)
  await stray.close()
})

await check('the address leads to the provider', async () => {
  await page.goto(start.href)
  assert.notEqual(new URL(page.url()).host, back.host)
})

if (story === 'choose') {
  await check('choosing a person leads back to this machine', async () => {
    await page.getByRole('button', { name: ada.email }).click()
    await ended()
  })
} else if (story === 'deny') {
  await check('saying no leads back to this machine', async () => {
    await page.getByRole('button', { name: 'Deny' }).click()
    await ended()
  })
} else {
  await check('logging in and consenting leads back to this machine', async () => {
    await page.locator('input[name=login]').fill('lin')
    await page.locator('input[name=password]').fill('whatever it is')
    await page.locator('button[type=submit]').click()
    await page.getByRole('button', { name: 'Continue' }).click()
    await ended()
  })
}

const shown = await page.locator('body').innerText()
if (story === 'deny') {
  await check('the page says that it did not work, and why', () => {
    assert.match(shown, /did not work/)
    assert.match(shown, /auth\.browser_denied/)
  })
} else {
  await check('the page says that one is signed in', () => assert.match(shown, /You are signed in/))
  await check('the page shows neither code nor flow', async () => {
    const code = new URL(page.url()).searchParams.get('code')
    const source = await page.content()
    assert.ok(code && flow)
    assert.ok(!source.includes(code) && !source.includes(flow))
  })
  await check('the page asks for nothing and breaks no rule of its own', () => {
    const here = asked.filter((url) => url.host === back.host)
    assert.deepEqual(here.map((url) => url.pathname), [back.pathname])
    assert.deepEqual(complaints, [])
  })
}

await browser.close()
done()
