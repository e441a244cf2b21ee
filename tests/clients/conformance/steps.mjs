// How the tables write one request down. A step is plain data; `v` is the run's world: two
// accounts (`v.alice`, `v.bob`) and whatever earlier steps saved into it.
//
//   as       whose token goes along: 'alice', 'bob', 'alice.refresh', the operator's password ('operator'), or none
//   save     (v, answer) => void, run when the answer is a success
//   exact    the error's message is compared too (clients match on it, or issue and lexicon fix it)
//   shape    the body is compared by its keys and types only, not by its values
//   opaque   the body is not compared at all; `statusOnly`: nor is any header
//   headers  sent besides the usual ones

import { query } from '../lib/http.mjs'

const value = (x, v) => (typeof x === 'function' ? x(v) : x)

/** A query by its parameters. */
export const get = (name, nsid, params, options = {}) => ({
  name,
  ...options,
  request: (v) => ({ method: 'GET', path: `/xrpc/${nsid}${query(value(params, v))}`, headers: {} }),
})

/** A procedure with a JSON body, or with none when `body` is undefined. */
export const post = (name, nsid, body, options = {}) => ({
  name,
  ...options,
  request: (v) => {
    const json = value(body, v)
    const path = `/xrpc/${nsid}`
    if (json === undefined) return { method: 'POST', path, headers: {} }
    return { method: 'POST', path, headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }
  },
})

/** Any request at all: `{method, path, headers, body}`. */
export const raw = (name, request, options = {}) => ({
  name,
  ...options,
  request: (v) => ({ headers: {}, ...value(request, v) }),
})

/** The header that goes with a step's `as`. */
export function authorization(as, v) {
  if (!as) return {}
  if (as === 'operator') return { authorization: basic('admin', v.adminPassword) }
  const [name, kind] = as.split('.')
  return { authorization: `Bearer ${kind === 'refresh' ? v[name].refreshJwt : v[name].accessJwt}` }
}

/** The header of a name and a password. */
export const basic = (name, password) => `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`

/** A JWT nobody signed, with the given claims. */
export function forged(header, claims) {
  const part = (x) => Buffer.from(JSON.stringify(x)).toString('base64url')
  return `${part(header)}.${part(claims)}.${Buffer.alloc(32, 7).toString('base64url')}`
}
