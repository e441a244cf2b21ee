// A raw HTTP client: sends exactly what it is told and adds nothing, so that a test can
// be as wrong as it wants (wrong verbs, missing types, broken JSON, repeated parameters).

import http from 'node:http'
import https from 'node:https'

const REQUEST_TIMEOUT_MS = 20_000

const agents = {
  'http:': new http.Agent({ keepAlive: true, maxSockets: 8 }),
  'https:': new https.Agent({ keepAlive: true, maxSockets: 8 }),
}

/** Sends one request; answers `{status, headers, bytes, text, json}`, whatever the status. */
export async function send(base, { method, path, headers = {}, body }) {
  // A kept-alive socket may die between two requests: that says nothing about the answer.
  for (let attempt = 0; ; attempt++) {
    try {
      return await sendOnce(base, { method, path, headers, body })
    } catch (error) {
      if (attempt > 0 || !['ECONNRESET', 'EPIPE'].includes(error.code)) throw error
    }
  }
}

function sendOnce(base, { method, path, headers, body }) {
  const url = new URL(base)
  const module = url.protocol === 'https:' ? https : http
  const payload = body === undefined ? undefined : Buffer.from(body)
  return new Promise((resolve, reject) => {
    const request = module.request(
      {
        agent: agents[url.protocol],
        host: url.hostname,
        port: url.port,
        method,
        path,
        headers: payload === undefined ? headers : { 'content-length': payload.length, ...headers },
        timeout: REQUEST_TIMEOUT_MS,
      },
      (response) => {
        const chunks = []
        response.on('data', (chunk) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => resolve(answer(response, Buffer.concat(chunks))))
      },
    )
    request.on('timeout', () => request.destroy(new Error(`no answer within ${REQUEST_TIMEOUT_MS} ms`)))
    request.on('error', reject)
    request.end(payload)
  })
}

function answer(response, bytes) {
  const isJson = /^application\/json/.test(response.headers['content-type'] ?? '')
  let json
  if (isJson && bytes.length > 0) {
    try {
      json = JSON.parse(bytes.toString('utf8'))
    } catch {
      json = undefined
    }
  }
  return { status: response.statusCode, headers: response.headers, bytes, json, text: bytes.toString('utf8') }
}

/** `?a=1&b=2&b=3` from an object whose values may be arrays; nothing for `undefined`. */
export function query(params = {}) {
  const pairs = Object.entries(params)
    .flatMap(([key, value]) => (Array.isArray(value) ? value : [value]).map((one) => [key, one]))
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${encodeURIComponent(key)}=${encodeURIComponent(value)}`)
  return pairs.length > 0 ? `?${pairs.join('&')}` : ''
}

/** XRPC over raw HTTP for a test's own preparations: throws unless the answer is 200. */
export function xrpc(base, token) {
  const auth = token ? { authorization: `Bearer ${token}` } : {}
  const checked = (nsid) => (response) => {
    if (response.status !== 200) throw new Error(`${nsid}: ${response.status} ${response.text.slice(0, 300)}`)
    return response.json ?? response.bytes
  }
  return {
    get: (nsid, params) =>
      send(base, { method: 'GET', path: `/xrpc/${nsid}${query(params)}`, headers: auth }).then(checked(nsid)),
    post: (nsid, body) =>
      send(base, {
        method: 'POST',
        path: `/xrpc/${nsid}`,
        headers: body === undefined ? auth : { ...auth, 'content-type': 'application/json' },
        body: body === undefined ? undefined : JSON.stringify(body),
      }).then(checked(nsid)),
    upload: (bytes, type) =>
      send(base, {
        method: 'POST',
        path: '/xrpc/com.atproto.repo.uploadBlob',
        headers: { ...auth, 'content-type': type },
        body: bytes,
      }).then(checked('com.atproto.repo.uploadBlob')),
  }
}
