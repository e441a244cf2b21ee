// XRPC itself: verbs, names, parameters, bodies, encodings, CORS.

import { gzipSync } from 'node:zlib'
import { post as feedPost } from '../lib/people.mjs'
import { get, post, raw } from './steps.mjs'

const GET_RECORD = 'com.atproto.repo.getRecord'
const CREATE = 'com.atproto.repo.createRecord'
const LIST = 'com.atproto.repo.listRecords'
const POSTS = 'app.bsky.feed.post'
const JSON_TYPE = { 'content-type': 'application/json' }

const path = (nsid) => `/xrpc/${nsid}`

export const protocol = [
  raw('GET on a procedure', { method: 'GET', path: path(CREATE) }, { exact: true }),
  raw('POST on a query', { method: 'POST', path: path('com.atproto.server.describeServer') }, { exact: true }),
  raw('PUT on a procedure', { method: 'PUT', path: path(CREATE) }),
  raw('DELETE on a query', { method: 'DELETE', path: path(GET_RECORD) }),
  raw('HEAD on a query', { method: 'HEAD', path: path('com.atproto.server.describeServer') }, { shape: true }),
  raw('OPTIONS, a preflight', {
    method: 'OPTIONS',
    path: path(CREATE),
    headers: {
      origin: 'https://app.example',
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type,atproto-proxy',
    },
  }),
  raw('a browser\'s simple request', {
    method: 'GET',
    path: path('com.atproto.server.describeServer'),
    headers: { origin: 'https://app.example' },
  }, { shape: true }),

  raw('unknown method, GET', { method: 'GET', path: path('com.example.thing.doesNotExist') }),
  raw('unknown method, POST', { method: 'POST', path: path('com.example.thing.doesNotExist') }),
  raw('unknown com.atproto method', { method: 'GET', path: path('com.atproto.repo.doesNotExist') }),
  raw('name with two segments', { method: 'GET', path: path('com.example') }),
  raw('name with a bad character', { method: 'GET', path: path('com.atproto.repo.get_record') }),
  raw('name with a trailing dot', { method: 'GET', path: path('com.atproto.repo.') }),
  raw('name with a trailing slash', { method: 'GET', path: path('com.atproto.server.describeServer/') }),
  raw('no name', { method: 'GET', path: '/xrpc/' }),
  raw('only /xrpc', { method: 'GET', path: '/xrpc' }, { statusOnly: true }),
  raw('an unknown page', { method: 'GET', path: '/no-such-page' }, { statusOnly: true }),

  get('required parameter missing', GET_RECORD, {}),
  get('second required parameter missing', GET_RECORD, (v) => ({ repo: v.alice.did, collection: POSTS })),
  get('parameter of a bad format: repo', GET_RECORD, { repo: 'not a repo', collection: POSTS, rkey: 'a' }),
  get('parameter of a bad format: collection', GET_RECORD, (v) => ({ repo: v.alice.did, collection: 'nope', rkey: 'a' })),
  get('parameter of a bad format: rkey', GET_RECORD, (v) => ({ repo: v.alice.did, collection: POSTS, rkey: 'a/b' })),
  get('parameter of a bad format: cid', GET_RECORD, (v) => ({ repo: v.alice.did, collection: POSTS, rkey: 'a', cid: 'x' })),
  get('parameter not in the lexicon', 'com.atproto.identity.resolveHandle', (v) => ({
    handle: v.alice.handle,
    colour: 'blue',
  })),
  get('single parameter given twice', 'com.atproto.identity.resolveHandle', (v) => ({
    handle: [v.alice.handle, v.bob.handle],
  })),
  get('number parameter: zero, below the least', LIST, (v) => ({ repo: v.alice.did, collection: POSTS, limit: 0 })),
  get('number parameter: above the most', LIST, (v) => ({ repo: v.alice.did, collection: POSTS, limit: 101 })),
  get('number parameter: a word', LIST, (v) => ({ repo: v.alice.did, collection: POSTS, limit: 'many' })),
  get('number parameter: a fraction', LIST, (v) => ({ repo: v.alice.did, collection: POSTS, limit: '1.5' })),
  get('number parameter: empty', LIST, (v) => ({ repo: v.alice.did, collection: 'com.example.thing', limit: '' })),
  get('boolean parameter: a word', LIST, (v) => ({ repo: v.alice.did, collection: POSTS, reverse: 'yes' })),
  get('boolean parameter: 1', LIST, (v) => ({ repo: v.alice.did, collection: POSTS, reverse: '1' })),
  raw('percent-encoded parameter', (v) => ({
    method: 'GET',
    path: `${path('com.atproto.repo.describeRepo')}?repo=${encodeURIComponent(v.alice.did).replaceAll('%3A', '%3a')}`,
  }), { shape: true }),
  raw('broken percent-encoding', { method: 'GET', path: `${path('com.atproto.repo.describeRepo')}?repo=%zz` }),

  raw('no body where one is wanted', { method: 'POST', path: path(CREATE) }, { as: 'alice' }),
  raw('empty body of the right type', { method: 'POST', path: path(CREATE), headers: JSON_TYPE, body: '' }, { as: 'alice' }),
  raw('broken JSON', { method: 'POST', path: path(CREATE), headers: JSON_TYPE, body: '{"repo":' }, { as: 'alice' }),
  raw('JSON of the wrong kind: an array', { method: 'POST', path: path(CREATE), headers: JSON_TYPE, body: '[]' }, { as: 'alice' }),
  raw('JSON of the wrong kind: null', { method: 'POST', path: path(CREATE), headers: JSON_TYPE, body: 'null' }, { as: 'alice' }),
  raw('JSON of the wrong kind: a string', { method: 'POST', path: path(CREATE), headers: JSON_TYPE, body: '"x"' }, { as: 'alice' }),
  raw('wrong content type', (v) => ({
    method: 'POST',
    path: path(CREATE),
    headers: { 'content-type': 'text/plain' },
    body: JSON.stringify({ repo: v.alice.did, collection: POSTS, record: feedPost('x') }),
  }), { as: 'alice' }),
  raw('no content type', (v) => ({
    method: 'POST',
    path: path(CREATE),
    body: JSON.stringify({ repo: v.alice.did, collection: POSTS, record: feedPost('x') }),
  }), { as: 'alice' }),
  raw('content type with a charset', (v) => ({
    method: 'POST',
    path: path(CREATE),
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify({ repo: v.alice.did, collection: POSTS, record: feedPost('with a charset') }),
  }), { as: 'alice' }),
  raw('gzip-encoded body', (v) => ({
    method: 'POST',
    path: path(CREATE),
    headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
    body: gzipSync(JSON.stringify({ repo: v.alice.did, collection: POSTS, record: feedPost('zipped') })),
  }), { as: 'alice' }),
  raw('body in an unknown encoding', (v) => ({
    method: 'POST',
    path: path(CREATE),
    headers: { ...JSON_TYPE, 'content-encoding': 'compress' },
    body: JSON.stringify({ repo: v.alice.did, collection: POSTS, record: feedPost('x') }),
  }), { as: 'alice' }),
  raw('body to a procedure that takes none', {
    method: 'POST',
    path: path('com.atproto.server.deleteSession'),
    headers: JSON_TYPE,
    body: '{}',
  }, { as: 'carol.refresh' }),
  raw('a body above the limit for JSON', (v) => ({
    method: 'POST',
    path: path('com.atproto.server.createSession'),
    headers: JSON_TYPE,
    body: JSON.stringify({ identifier: v.alice.handle, password: 'x'.repeat(200_000) }),
  })),
  raw('a body above the limit for writes', (v) => ({
    method: 'POST',
    path: path(CREATE),
    headers: JSON_TYPE,
    body: JSON.stringify({ repo: v.alice.did, collection: POSTS, record: feedPost('x'.repeat(1_200_000)) }),
  }), { as: 'alice' }),
  raw('a body with a __proto__ key', (v) => ({
    method: 'POST',
    path: path(CREATE),
    headers: JSON_TYPE,
    body: `{"repo":"${v.alice.did}","collection":"${POSTS}","record":{"$type":"${POSTS}","text":"x","createdAt":"2024-05-06T07:08:09.123Z","__proto__":{"a":1}}}`,
  }), { as: 'alice' }),
  post('an unknown field in the input', CREATE, (v) => ({
    repo: v.alice.did,
    collection: POSTS,
    record: feedPost('extra field'),
    colour: 'blue',
  }), { as: 'alice' }),
]
