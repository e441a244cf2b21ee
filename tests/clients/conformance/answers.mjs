// Runs the table against one server and makes the answers comparable: whatever differs from
// one server or run to the next (DIDs, keys, tokens, times, commit CIDs) becomes a placeholder.

import { send } from '../lib/http.mjs'
import { settle } from '../lib/people.mjs'
import { authorization } from './steps.mjs'

/** The headers that a client or a browser acts on. */
const HEADERS = [
  'content-type',
  'content-length',
  'content-disposition',
  'content-security-policy',
  'x-content-type-options',
  'www-authenticate',
  'access-control-allow-origin',
  'access-control-allow-methods',
  'access-control-allow-headers',
  'access-control-max-age',
]

/** Sends every step to `base`, whose operator has that password; answers `{name: {status, headers, body}}`. */
export async function ask(base, steps, adminPassword) {
  const v = { base, adminPassword, alice: await settle(base, 'al'), bob: await settle(base, 'bo') }
  const answers = {}
  for (const step of steps) {
    answers[step.name] = await one(base, step, v)
  }
  return answers
}

async function one(base, step, v) {
  let request
  try {
    request = step.request(v)
  } catch (error) {
    return { status: 0, problem: `could not be sent, an earlier step failed: ${error.message}` }
  }
  const headers = { ...authorization(step.as, v), ...request.headers, ...step.headers }
  let answer
  try {
    answer = await send(base, { ...request, headers })
  } catch (error) {
    return { status: 0, problem: String(error.message) }
  }
  if (step.save && answer.status === 200) step.save(v, answer)
  return plain(step, answer, v)
}

function plain(step, answer, v) {
  const swap = (text) => scrub(text, v)
  const kept = {}
  for (const name of HEADERS) {
    const got = answer.headers[name]
    if (got === undefined) continue
    // Of bytes that are the same everywhere, and nothing else.
    if (name === 'content-length' && (got === '0' || answer.json !== undefined || step.opaque || step.shape)) continue
    kept[name] = swap(got)
  }
  if (step.as) {
    // What was answered to one account must not be kept for another.
    kept['cache-control'] = answer.headers['cache-control']
    if (/\bauthorization\b/i.test(answer.headers.vary ?? '')) kept.vary = 'authorization'
  }
  if (step.statusOnly) return { status: answer.status }
  const result = { status: answer.status, headers: kept }
  if (answer.status >= 400 && answer.json?.error) {
    result.error = answer.json.error
    result.message = answer.json.message === undefined ? null : swap(String(answer.json.message))
    result.keys = Object.keys(answer.json).sort()
  } else if (step.opaque) {
    // Only that there is one.
  } else if (answer.json !== undefined) {
    result.body = step.shape ? shape(answer.json) : walk(answer.json, [], swap)
  } else if (answer.bytes.length > 0) {
    result.text = swap(answer.bytes.toString('latin1').slice(0, 200))
  }
  return result
}

/** The structure of a value: its keys and the types of its leaves. */
function shape(value) {
  if (Array.isArray(value)) return value.length > 0 ? [shape(value[0])] : []
  if (value === null) return 'null'
  if (typeof value !== 'object') return typeof value
  return Object.fromEntries(Object.entries(value).sort(byKey).map(([key, one]) => [key, shape(one)]))
}

function walk(value, path, swap) {
  if (Array.isArray(value)) return value.map((one, i) => walk(one, [...path, i], swap))
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).sort(byKey).map(([key, one]) => [key, walk(one, [...path, key], swap)]))
  }
  if (typeof value !== 'string') return value
  if (path.length >= 2 && path.at(-2) === 'commit' && path.at(-1) === 'cid') return '<commit>'
  if (path.at(-1) === 'serviceEndpoint') return '<url>'
  return swap(value)
}

const byKey = ([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)

function scrub(text, v) {
  const known = [
    [v.base, '<url>'],
    [v.base.replace('127.0.0.1', 'localhost'), '<url>'],
    ...['alice', 'bob', 'carol', 'dora']
      .filter((name) => v[name])
      .flatMap((name) => [
        [v[name].did, `<${name}>`],
        [v[name].handle, `<${name}.handle>`],
        [v[name].handle?.toUpperCase(), `<${name}.HANDLE>`],
        [v[name].email, `<${name}.email>`],
        [v[name].email?.toUpperCase(), `<${name}.EMAIL>`],
      ]),
  ].filter(([from]) => from)
  for (const [from, to] of known) text = text.replaceAll(from, to)
  return text
    .replace(/Commit was at [a-z2-7]+/, 'Commit was at <commit>')
    .replace(/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, '<jwt>')
    .replace(/did:plc:(?!a{24})[a-z2-7]{24}/g, '<did>')
    .replace(/\b(?!2024-)\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/\bz[1-9A-HJ-NP-Za-km-z]{40,}/g, '<key>')
    .replace(/\b(?!3kabcdefghi)3[a-z2-7]{12}\b/g, '<tid>')
}

/** Two runs of one server as one: a leaf in which they differ becomes `<varies>`. */
export function merge(a, b) {
  if (Array.isArray(a) && Array.isArray(b) && a.length === b.length) return a.map((one, i) => merge(one, b[i]))
  if (isMap(a) && isMap(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])]
    return Object.fromEntries(keys.map((key) => [key, merge(a[key], b[key])]))
  }
  return a === b ? a : '<varies>'
}

/** Where two answers differ, as `{path, expected, got}`; a `<varies>` fits anything that is there. */
export function differences(expected, got, path = '') {
  if (expected === '<varies>') return got === undefined ? [{ path, expected, got }] : []
  if (Array.isArray(expected) && Array.isArray(got) && expected.length === got.length) {
    return expected.flatMap((one, i) => differences(one, got[i], `${path}[${i}]`))
  }
  if (isMap(expected) && isMap(got)) {
    const keys = [...new Set([...Object.keys(expected), ...Object.keys(got)])]
    return keys.flatMap((key) => differences(expected[key], got[key], path ? `${path}.${key}` : key))
  }
  return expected === got ? [] : [{ path, expected, got }]
}

const isMap = (x) => x !== null && typeof x === 'object' && !Array.isArray(x)
