// com.atproto.server and com.atproto.identity: accounts, sessions, handles.

import { newcomer } from '../lib/people.mjs'
import { forged, get, post, raw } from './steps.mjs'

const CREATE = 'com.atproto.server.createAccount'
const LOGIN = 'com.atproto.server.createSession'
const SESSION = 'com.atproto.server.getSession'
const REFRESH = 'com.atproto.server.refreshSession'
const RESOLVE = 'com.atproto.identity.resolveHandle'

const someone = (changes) => () => ({ ...newcomer('x'), ...changes })

export const server = [
  get('describeServer', 'com.atproto.server.describeServer', {}, { shape: true }),
  raw('health', { method: 'GET', path: '/xrpc/_health' }, { shape: true }),

  post('createAccount', CREATE, someone({}), {
    save: (v, answer) => (v.carol = answer.json),
  }),
  post('createAccount: taken handle', CREATE, (v) => ({ ...newcomer('x'), handle: v.alice.handle }), { exact: true }),
  post('createAccount: taken handle in capitals', CREATE, (v) => ({
    ...newcomer('x'),
    handle: v.alice.handle.toUpperCase(),
  })),
  post('createAccount: taken e-mail', CREATE, (v) => ({ ...newcomer('x'), email: v.alice.email }), { exact: true }),
  post('createAccount: taken e-mail in capitals', CREATE, (v) => ({
    ...newcomer('x'),
    email: v.alice.email.toUpperCase(),
  })),
  post('createAccount: no e-mail', CREATE, someone({ email: undefined }), { exact: true }),
  post('createAccount: no password', CREATE, someone({ password: undefined }), { shape: true }),
  post('createAccount: bad e-mail', CREATE, someone({ email: 'not-an-address' })),
  post('createAccount: handle under another domain', CREATE, someone({ handle: 'someone.example.com' })),
  post('createAccount: bare word as a handle', CREATE, someone({ handle: 'someone' })),
  post('createAccount: handle with an underscore', CREATE, someone({ handle: 'some_one.test' })),
  post('createAccount: handle too short', CREATE, someone({ handle: 'ab.test' })),
  post('createAccount: handle too long', CREATE, someone({ handle: `${'a'.repeat(19)}.test` })),
  post('createAccount: two labels under the service domain', CREATE, someone({ handle: 'some.one.test' })),
  post('createAccount: reserved handle', CREATE, someone({ handle: 'admin.test' })),
  post('createAccount: disallowed top level', CREATE, someone({ handle: 'someone.local' })),
  post('createAccount: handle missing', CREATE, someone({ handle: undefined })),
  post('createAccount: somebody else\'s DID without a service token', CREATE, (v) => ({
    ...newcomer('x'),
    did: v.alice.did,
  })),

  post('createSession by handle', LOGIN, (v) => ({ identifier: v.alice.handle, password: v.alice.password })),
  post('createSession by handle in capitals', LOGIN, (v) => ({
    identifier: v.alice.handle.toUpperCase(),
    password: v.alice.password,
  })),
  post('createSession by DID', LOGIN, (v) => ({ identifier: v.alice.did, password: v.alice.password })),
  post('createSession by e-mail', LOGIN, (v) => ({ identifier: v.alice.email, password: v.alice.password })),
  post('createSession: wrong password', LOGIN, (v) => ({ identifier: v.alice.handle, password: 'wrong' }), {
    exact: true,
  }),
  post('createSession: unknown handle', LOGIN, { identifier: 'nobody-at-all.test', password: 'wrong' }, { exact: true }),
  post('createSession: unknown DID', LOGIN, { identifier: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', password: 'wrong' }, {
    exact: true,
  }),
  post('createSession: empty password', LOGIN, (v) => ({ identifier: v.alice.handle, password: '' })),
  post('createSession: password missing', LOGIN, (v) => ({ identifier: v.alice.handle })),
  post('createSession: password is a number', LOGIN, (v) => ({ identifier: v.alice.handle, password: 7 })),

  get('getSession', SESSION, {}, { as: 'alice' }),
  get('getSession: no token', SESSION, {}, { exact: true }),
  get('getSession: with a refresh token', SESSION, {}, { as: 'alice.refresh' }),
  raw('getSession: not a JWT', {
    method: 'GET',
    path: `/xrpc/${SESSION}`,
    headers: { authorization: 'Bearer nonsense' },
  }, { exact: true }),
  raw('getSession: forged signature', (v) => ({
    method: 'GET',
    path: `/xrpc/${SESSION}`,
    headers: {
      authorization: `Bearer ${forged(
        { typ: 'at+jwt', alg: 'HS256' },
        { scope: 'com.atproto.access', sub: v.alice.did, iat: 1700000000, exp: 1900000000 },
      )}`,
    },
  }), { exact: true }),
  raw('getSession: alg none', (v) => ({
    method: 'GET',
    path: `/xrpc/${SESSION}`,
    headers: {
      authorization: `Bearer ${forged(
        { typ: 'at+jwt', alg: 'none' },
        { scope: 'com.atproto.access', sub: v.alice.did, iat: 1700000000, exp: 1900000000 },
      )}`,
    },
  })),
  raw('getSession: basic authentication', {
    method: 'GET',
    path: `/xrpc/${SESSION}`,
    headers: { authorization: `Basic ${Buffer.from('a:b').toString('base64')}` },
  }),
  raw('getSession: bearer without a token', {
    method: 'GET',
    path: `/xrpc/${SESSION}`,
    headers: { authorization: 'Bearer' },
  }),
  raw('getSession: the scheme in small letters', (v) => ({
    method: 'GET',
    path: `/xrpc/${SESSION}`,
    headers: { authorization: `bearer ${v.alice.accessJwt}` },
  })),

  post('refreshSession', REFRESH, undefined, {
    as: 'alice.refresh',
    save: (v, answer) => (v.renewed = answer.json),
  }),
  post('refreshSession again within the grace period', REFRESH, undefined, { as: 'alice.refresh' }),
  post('refreshSession: with an access token', REFRESH, undefined, { as: 'alice' }),
  post('refreshSession: no token', REFRESH, undefined, { exact: true }),
  get('getSession with the renewed token', SESSION, {}, { as: 'renewed' }),
  post('deleteSession', 'com.atproto.server.deleteSession', undefined, { as: 'renewed.refresh' }),
  post('refreshSession after deleteSession', REFRESH, undefined, { as: 'renewed.refresh', exact: true }),
  get('getSession: an access token outlives its session', SESSION, {}, { as: 'renewed' }),
  post('deleteSession twice', 'com.atproto.server.deleteSession', undefined, { as: 'renewed.refresh' }),
  post('deleteSession: with an access token', 'com.atproto.server.deleteSession', undefined, { as: 'alice' }),
  post('deleteSession: no token', 'com.atproto.server.deleteSession', undefined, {}),
  post('createAccount\'s refresh token is its own', REFRESH, undefined, { as: 'carol.refresh' }),

  get('resolveHandle', RESOLVE, (v) => ({ handle: v.alice.handle })),
  get('resolveHandle in capitals', RESOLVE, (v) => ({ handle: v.alice.handle.toUpperCase() })),
  get('resolveHandle: unknown', RESOLVE, { handle: 'nobody-at-all.test' }, { exact: true }),
  get('resolveHandle: not a handle', RESOLVE, { handle: 'no spaces allowed' }),
  get('resolveHandle: missing', RESOLVE, {}),
  raw('atproto-did of a known handle', (v) => ({
    method: 'GET',
    path: '/.well-known/atproto-did',
    headers: { host: v.alice.handle },
  })),
  raw('atproto-did of an unknown handle', {
    method: 'GET',
    path: '/.well-known/atproto-did',
    headers: { host: 'nobody-at-all.test' },
  }),
]
