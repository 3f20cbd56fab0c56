// A strict OpenID provider: refresh tokens rotate, and one that comes a second time ends the whole family.
// Prints its port and the first refresh token of a session; ends with its standard input.
import http from "node:http";
import crypto from "node:crypto";
import { Provider } from "oidc-provider";

const server = http.createServer();
await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
const issuer = `http://127.0.0.1:${server.address().port}`;
const redirect = "http://127.0.0.1:9/callback";
const provider = new Provider(issuer, {
  clients: [{
    client_id: "app", token_endpoint_auth_method: "none", redirect_uris: [redirect],
    grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], application_type: "native",
  }],
  scopes: ["openid", "offline_access"],
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  ttl: { AccessToken: 3600, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 600, IdToken: 3600 },
  findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
});
server.on("request", provider.callback());

const verifier = crypto.randomBytes(32).toString("base64url");
const challenge = crypto.createHash("sha256").update(verifier).digest("base64url");
const jar = new Map();
async function follow(url, body) {
  for (let hops = 0; hops < 12; hops += 1) {
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
    const answer = await fetch(url, { method: body ? "POST" : "GET", body, redirect: "manual", headers: { cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";");
      const at = pair.indexOf("=");
      if (pair.slice(at + 1)) jar.set(pair.slice(0, at), pair.slice(at + 1));
      else jar.delete(pair.slice(0, at));
    }
    const location = answer.headers.get("location");
    if (!location) return { url: String(url), html: await answer.text() };
    if (location.startsWith(redirect)) return { code: new URL(location).searchParams.get("code") };
    [url, body] = [new URL(location, url), undefined];
  }
  throw new Error("redirected for ever");
}
const query = new URLSearchParams({
  client_id: "app", response_type: "code", redirect_uri: redirect, scope: "openid offline_access", prompt: "consent",
  code_challenge: challenge, code_challenge_method: "S256",
});
let page = await follow(`${issuer}/auth?${query}`);
while (!page.code) {
  const prompt = /name="prompt" value="(\w+)"/.exec(page.html)?.[1];
  if (!prompt) throw new Error(`no form: ${page.html.slice(0, 500)}`);
  const action = /action="([^"]+)"/.exec(page.html)[1];
  page = await follow(new URL(action, page.url), new URLSearchParams({ prompt, login: "ada", password: "any" }));
}
const answer = await fetch(`${issuer}/token`, {
  method: "POST",
  body: new URLSearchParams({
    grant_type: "authorization_code", code: page.code, redirect_uri: redirect, client_id: "app", code_verifier: verifier,
  }),
});
const tokens = await answer.json();
console.log(`@${server.address().port} ${tokens.refresh_token}`);
process.stdin.on("end", () => process.exit(0)).resume();
