// com.atproto.server: Erin's app passwords, her tokens for other services, and how her account rests and comes back.

import { newcomer } from '../lib/people.mjs'
import { get, post, raw } from './steps.mjs'

const NS = 'com.atproto.server'
const FEED = 'app.bsky.feed.getTimeline'
const APPVIEW = 'did:web:api.bsky.app'
const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'

const soon = (seconds) => String(Math.floor(Date.now() / 1000) + seconds)
const ask = (name, method, params, options = {}) => get(`${method}: ${name}`, `${NS}.${method}`, params, { as: 'erin', ...options })
const act = (name, method, body, options = {}) => post(`${method}: ${name}`, `${NS}.${method}`, body, { as: 'erin', ...options })
const login = (name, who, options = {}) =>
  act(name, 'createSession', (v) => ({ identifier: v.erin.handle, ...who(v) }), { as: null, ...options })
const grant = (name, params, options = {}) => ask(name, 'getServiceAuth', params, { shape: true, exact: true, ...options })
const note = (name, options = {}) =>
  post(name, 'com.atproto.repo.putRecord', (v) => ({
    repo: v.erin.did,
    collection: 'com.example.note',
    rkey: 'one',
    record: { $type: 'com.example.note', text: name },
  }), { as: 'erin', shape: true, ...options })
const moveIn = (name, did, token) =>
  raw(`createAccount: ${name}`, (v) => ({
    method: 'POST',
    path: `/xrpc/${NS}.createAccount`,
    headers: { 'content-type': 'application/json', authorization: `Bearer ${token(v)}` },
    body: JSON.stringify({ ...newcomer('x'), did: did(v) }),
  }))

export const account = [
  act('Erin', 'createAccount', (v) => (v.erins = newcomer('er')), {
    as: null,
    shape: true,
    save: (v, answer) => (v.erin = answer.json),
  }),
  act('one', 'createAppPassword', { name: 'one' }, { shape: true, save: (v, answer) => (v.one = answer.json) }),
  act('a privileged one', 'createAppPassword', { name: 'two', privileged: true }, {
    shape: true,
    save: (v, answer) => (v.two = answer.json),
  }),
  act('a name that is taken', 'createAppPassword', { name: 'two' }),
  act('no name', 'createAppPassword', {}),
  act('no body', 'createAppPassword', undefined),
  act('no token', 'createAppPassword', { name: 'x' }, { as: null }),
  ask('two', 'listAppPasswords', {}, { shape: true }),
  ask('no token', 'listAppPasswords', {}, { as: null }),
  login('by an app password', (v) => ({ password: v.one.password }), { save: (v, answer) => (v.byOne = answer.json) }),
  login('by a privileged one', (v) => ({ password: v.two.password }), { save: (v, answer) => (v.byTwo = answer.json) }),
  login('by an app password in capitals', (v) => ({ password: v.one.password.toUpperCase() })),
  ask('by an app password', 'getSession', {}, { as: 'byOne' }),
  act('by an app password', 'createAppPassword', { name: 'x' }, { as: 'byTwo', exact: true }),
  ask('by an app password', 'listAppPasswords', {}, { as: 'byOne', shape: true }),
  act('by an app password', 'refreshSession', undefined, {
    as: 'byTwo.refresh',
    save: (v, answer) => (v.byTwo = answer.json),
  }),
  act('by an app password', 'deactivateAccount', {}, { as: 'byTwo', exact: true }),
  act('by an app password', 'activateAccount', undefined, { as: 'byTwo', exact: true }),

  grant('an AppView', { aud: APPVIEW }),
  grant('a method', { aud: APPVIEW, lxm: FEED }),
  grant('a service of a DID', { aud: `${APPVIEW}#bsky_appview`, lxm: FEED }),
  grant('half an hour', () => ({ aud: APPVIEW, lxm: FEED, exp: soon(1800) })),
  grant('two hours', () => ({ aud: APPVIEW, lxm: FEED, exp: soon(7200) })),
  grant('two minutes for any method', () => ({ aud: APPVIEW, exp: soon(120) })),
  grant('the past', () => ({ aud: APPVIEW, lxm: FEED, exp: soon(-5) })),
  grant('no audience', {}, { exact: false }),
  grant('an audience that is no DID', { aud: 'x' }),
  grant('an audience that is a key', { aud: 'did:key:zQ3sh', lxm: FEED }),
  grant('a method that is none', { aud: APPVIEW, lxm: 'x' }, { exact: false }),
  grant('an end that is none', { aud: APPVIEW, exp: 'x' }, { exact: false }),
  grant('a protected method', { aud: APPVIEW, lxm: `${NS}.createAppPassword` }),
  grant('private messages', { aud: APPVIEW, lxm: 'chat.bsky.convo.getLog' }),
  grant('private messages, by an app password', { aud: APPVIEW, lxm: 'chat.bsky.convo.getLog' }, { as: 'byOne' }),
  grant('private messages, by a privileged one', { aud: APPVIEW, lxm: 'chat.bsky.convo.getLog' }, { as: 'byTwo' }),
  grant('moving, by an app password', { aud: APPVIEW, lxm: `${NS}.createAccount` }, { as: 'byOne' }),
  grant('no token', { aud: APPVIEW }, { as: null }),

  act('one', 'revokeAppPassword', { name: 'two' }),
  act('one that is gone', 'revokeAppPassword', { name: 'two' }),
  act('after its app password', 'refreshSession', undefined, { as: 'byTwo.refresh', exact: true }),
  login('by a revoked app password', (v) => ({ password: v.two.password })),

  ask('a new account', 'checkAccountStatus', {}),
  note('a note'),
  ask('with a note', 'checkAccountStatus', {}),
  ask('no token', 'checkAccountStatus', {}, { as: null }),
  act('until she comes back', 'deactivateAccount', { deleteAfter: '2030-01-01T00:00:00.000Z' }),
  act('no date', 'deactivateAccount', { deleteAfter: 'tomorrow' }),
  act('no body', 'deactivateAccount', undefined),
  note('a note while she rests', { exact: true }),
  ask('while she rests', 'getSession', {}),
  ask('while she rests', 'checkAccountStatus', {}),
  login('while she rests', (v) => ({ password: v.erins.password })),
  act('while she rests', 'refreshSession', undefined, { as: 'erin.refresh' }),
  act('while she rests', 'createAppPassword', { name: 'three' }, { shape: true }),
  get('getRepoStatus: while she rests', 'com.atproto.sync.getRepoStatus', (v) => ({ did: v.erin.did })),
  get('resolveHandle: while she rests', 'com.atproto.identity.resolveHandle', (v) => ({ handle: v.erin.handle })),
  act('a body', 'activateAccount', {}),
  act('Erin', 'activateAccount', undefined),
  act('once more', 'activateAccount', undefined),
  note('a note when she is back'),

  act('for a DID', 'reserveSigningKey', { did: 'did:web:erin.example.com' }, { as: null, shape: true }),
  act('for nobody', 'reserveSigningKey', {}, { as: null, shape: true }),
  act('for no DID', 'reserveSigningKey', { did: 'x' }, { as: null }),
  act('no body', 'reserveSigningKey', undefined, { as: null }),
  get('describeServer: whose tokens they are', `${NS}.describeServer`, {}, {
    shape: true,
    save: (v, answer) => (v.host = answer.json.did),
  }),
  grant('this host', (v) => ({ aud: v.host, lxm: `${NS}.createAccount` }), {
    save: (v, answer) => (v.moving = answer.json.token),
  }),
  moveIn('with a session\'s token', (v) => v.erin.did, (v) => v.erin.accessJwt),
  moveIn('with no token at all', (v) => v.erin.did, () => 'nonsense'),
  moveIn('with the DID of somebody else', () => NOBODY, (v) => v.moving),
  moveIn('with a DID that is here', (v) => v.erin.did, (v) => v.moving),
  raw('uploadBlob: with a token for something else', (v) => ({
    method: 'POST',
    path: '/xrpc/com.atproto.repo.uploadBlob',
    headers: { 'content-type': 'image/png', authorization: `Bearer ${v.moving}` },
    body: 'bytes',
  })),
  raw('getSession: with a service token', (v) => ({
    method: 'GET',
    path: `/xrpc/${NS}.getSession`,
    headers: { authorization: `Bearer ${v.moving}` },
  }), { exact: true }),
]
