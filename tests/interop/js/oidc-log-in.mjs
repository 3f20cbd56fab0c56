// oidc-provider, a certified OpenID provider, with one client and whoever logs in.
//
// Arguments: client id, client secret. Prints its address, then reads one line: where it may send browsers back to.
// Ends with its input. Its log-in page takes any name and password; the name becomes the address.

import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import Provider from 'oidc-provider'

console.info = console.error // nobody reads the output beyond the address
const [client_id, client_secret] = process.argv.slice(2)
let answer = (_, response) => response.writeHead(503).end()
const server = createServer((request, response) => answer(request, response))
server.listen(0, '127.0.0.1', () => console.log(issuer()))
const issuer = () => `http://127.0.0.1:${server.address().port}`

const input = createInterface({ input: process.stdin })
input.on('line', (redirect) => {
  const provider = new Provider(issuer(), {
    clients: [{ client_id, client_secret, redirect_uris: [redirect], token_endpoint_auth_method: 'client_secret_basic' }],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name'] },
    cookies: { keys: ['of this run only'] },
    features: { devInteractions: { enabled: true } },
    findAccount: (_, accountId) => ({
      accountId,
      claims: () => ({ sub: accountId, email: `${accountId}@idp.example`, email_verified: true, name: accountId }),
    }),
    pkce: { required: () => true },
  })
  answer = provider.callback()
})
input.on('close', () => process.exit())
