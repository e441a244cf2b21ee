// Throw-away accounts with random handles, so that every run can use the same server.

import { randomBytes } from 'node:crypto'
import { xrpc } from './http.mjs'

/** A handle, address and password that no run has used. */
export function newcomer(name = 'u') {
  const handle = `${name}${randomBytes(5).toString('hex')}`.slice(0, 18) + '.test'
  return { handle, email: `${handle.slice(0, -5)}@example.com`, password: `pw-${randomBytes(9).toString('hex')}` }
}

/** Creates an account over raw XRPC: `{did, handle, email, password, accessJwt, refreshJwt, get, post, upload}`. */
export async function settle(base, name) {
  const who = newcomer(name)
  const session = await xrpc(base).post('com.atproto.server.createAccount', who)
  return { ...who, ...session, ...xrpc(base, session.accessJwt) }
}

/** A 1x1 PNG (68 bytes), with as many bytes as wanted appended so that each blob differs. */
export function picture(salt = randomBytes(8)) {
  const png = Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
    'base64',
  )
  return Buffer.concat([png, Buffer.from(salt)])
}

/** A post with a fixed time, so that its CID is the same wherever it is written. */
export const post = (text, extra = {}) => ({
  $type: 'app.bsky.feed.post',
  text,
  createdAt: '2024-05-06T07:08:09.123Z',
  ...extra,
})
