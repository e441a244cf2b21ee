// com.atproto.admin: Dora's account, a record and a blob of hers are taken down and come back, and what everybody else
// sees of that.

import { newcomer, picture } from '../lib/people.mjs'
import { basic, get, post, raw } from './steps.mjs'

const NS = 'com.atproto.admin'
const SYNC = 'com.atproto.sync'
const REPO = 'com.atproto.repo'
const THING = 'com.example.thing'
const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const ABSENT = 'bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'
const bytes = picture(Buffer.from('dora'))

const account = (v) => ({ $type: 'com.atproto.admin.defs#repoRef', did: v.dora.did })
const record = (v) => ({ $type: 'com.atproto.repo.strongRef', uri: v.thing.uri, cid: v.thing.cid })
const blob = (v) => ({ $type: 'com.atproto.admin.defs#repoBlobRef', did: v.dora.did, cid: v.picture.ref.$link })

const look = (name, method, params, options = {}) =>
  get(`${method}: ${name}`, `${NS}.${method}`, params, { as: 'operator', ...options })
const act = (name, method, body, options = {}) =>
  post(`${method}: ${name}`, `${NS}.${method}`, body, { as: 'operator', ...options })
const update = (name, body, options) => act(name, 'updateSubjectStatus', body, options)
const takeDown = (name, subject) =>
  update(name, (v) => ({ subject: subject(v), takedown: { applied: true, ref: 'case 1' } }))
const lift = (name, subject) => update(name, (v) => ({ subject: subject(v), takedown: { applied: false } }))
const status = (name, params) => look(name, 'getSubjectStatus', params)

const write = (name, rkey, body, options) =>
  post(name, `${REPO}.putRecord`, (v) => ({
    repo: v.dora.did,
    collection: THING,
    rkey,
    record: { $type: THING, ...(typeof body === 'function' ? body(v) : body) },
  }), { as: 'dora', ...options })

const upload = (name, options = {}) =>
  raw(name, {
    method: 'POST',
    path: `/xrpc/${REPO}.uploadBlob`,
    headers: { 'content-type': 'image/png' },
    body: bytes,
  }, { as: 'dora', ...options })

const fetchBlob = (name, as) =>
  get(`getBlob: ${name}`, `${SYNC}.getBlob`, (v) => ({ did: v.dora.did, cid: v.picture.ref.$link }), { as, opaque: true })

/** What the caller sees of Dora's repository. */
const reads = (state, who, as) => {
  const ask = (method, more = {}, options = {}) =>
    get(`${method} of one ${state}, by ${who}`, `${SYNC}.${method}`, (v) => ({ did: v.dora.did, ...more }), { as, ...options })
  return [
    ask('getHead', {}, { shape: true, exact: true }),
    ask('getLatestCommit', {}, { shape: true, exact: true }),
    ask('getCheckout', {}, { opaque: true }),
    ask('getRepo', {}, { opaque: true }),
    ask('getRecord', { collection: THING, rkey: 'one' }, { opaque: true }),
    ask('listBlobs'),
    // Looks at no token.
    ...(as ? [] : [ask('getRepoStatus', {}, { exact: true })]),
  ]
}

/** What nobody in particular sees of it: these look at no token. */
const opened = (state) => {
  const ask = (method, more = {}, options = {}) =>
    get(`${REPO}.${method} of one ${state}`, `${REPO}.${method}`, (v) => ({ repo: v.dora.did, ...more }), options)
  return [
    ask('getRecord', { collection: THING, rkey: 'one' }),
    ask('listRecords', { collection: THING }),
    ask('describeRepo', {}, { shape: true }),
    get(`resolveHandle of one ${state}`, 'com.atproto.identity.resolveHandle', (v) => ({ handle: v.dora.handle })),
    post(`createSession of one ${state}`, 'com.atproto.server.createSession', (v) => ({
      identifier: v.dora.handle,
      password: v.dora.password,
    }), { shape: true }),
    write(`putRecord of one ${state}`, 'state', { state }, { shape: true }),
  ]
}

export const operator = [
  post('createAccount of Dora', 'com.atproto.server.createAccount', (v) => (v.doras = newcomer('do')), {
    save: (v, answer) => (v.dora = { ...v.doras, ...answer.json }),
    shape: true,
  }),
  upload('uploadBlob by Dora', { save: (v, answer) => (v.picture = answer.json.blob) }),
  write('putRecord by Dora', 'one', (v) => ({ picture: v.picture }), { save: (v, answer) => (v.thing = answer.json) }),
  get('checkSignupQueue', 'com.atproto.temp.checkSignupQueue', {}, { as: 'dora' }),
  get('checkSignupQueue: no token', 'com.atproto.temp.checkSignupQueue', {}),

  look('Dora', 'getAccountInfo', (v) => ({ did: v.dora.did })),
  look('nobody', 'getAccountInfo', { did: NOBODY }, { exact: true }),
  look('not a DID', 'getAccountInfo', { did: 'x' }),
  look('missing', 'getAccountInfo', {}),
  look('no password', 'getAccountInfo', (v) => ({ did: v.dora.did }), { as: null }),
  look('by Dora', 'getAccountInfo', (v) => ({ did: v.dora.did }), { as: 'dora' }),
  raw('getAccountInfo: wrong password', (v) => ({
    method: 'GET',
    path: `/xrpc/${NS}.getAccountInfo?did=${v.dora.did}`,
    headers: { authorization: basic('admin', 'wrong') },
  })),
  look('Dora and nobody', 'getAccountInfos', (v) => ({ dids: [v.dora.did, NOBODY] })),
  look('none', 'getAccountInfos', {}),

  status('the account', (v) => ({ did: v.dora.did })),
  status('the record', (v) => ({ uri: v.thing.uri })),
  status('the blob', (v) => ({ did: v.dora.did, blob: v.picture.ref.$link })),
  status('nobody', { did: NOBODY }),
  status('no record', (v) => ({ uri: `at://${v.dora.did}/${THING}/none` })),
  status('no blob', (v) => ({ did: v.dora.did, blob: ABSENT })),
  status('a blob of nobody in particular', { blob: ABSENT }),
  status('nothing', {}),

  ...reads('active', 'the operator', 'operator'),
  ...opened('active'),

  update('no subject', {}),
  update('a subject of another kind', (v) => ({ subject: { $type: 'com.example.other', did: v.dora.did } })),
  update('takedown without applied', (v) => ({ subject: account(v), takedown: {} })),
  update('activated and taken down at once', (v) => ({
    subject: account(v),
    takedown: { applied: true },
    deactivated: { applied: false },
  }), { exact: true }),
  update('no password', (v) => ({ subject: account(v) }), { as: null }),
  update('nothing at all of the account', (v) => ({ subject: account(v) })),

  takeDown('the record', record),
  status('the record, taken down', (v) => ({ uri: v.thing.uri })),
  get('getRecord of one taken down', `${REPO}.getRecord`, (v) => ({ repo: v.dora.did, collection: THING, rkey: 'one' }), { exact: true }),
  get('listRecords with one taken down', `${REPO}.listRecords`, (v) => ({ repo: v.dora.did, collection: THING })),
  get('sync.getRecord of one taken down', `${SYNC}.getRecord`, (v) => ({ did: v.dora.did, collection: THING, rkey: 'one' }), { opaque: true }),
  lift('the record again', record),
  get('getRecord of one that came back', `${REPO}.getRecord`, (v) => ({ repo: v.dora.did, collection: THING, rkey: 'one' })),

  takeDown('the blob', blob),
  status('the blob, taken down', (v) => ({ did: v.dora.did, blob: v.picture.ref.$link })),
  fetchBlob('taken down', null),
  fetchBlob('taken down, by another', 'bob'),
  fetchBlob('taken down, by its owner', 'dora'),
  fetchBlob('taken down, by the operator', 'operator'),
  upload('uploadBlob: taken down', { exact: true }),
  write('putRecord with a blob that is taken down', 'two', (v) => ({ picture: v.picture })),
  get('listBlobs with one taken down', `${SYNC}.listBlobs`, (v) => ({ did: v.dora.did })),
  lift('the blob again', blob),
  fetchBlob('come back', null),

  update('deactivated', (v) => ({ subject: account(v), deactivated: { applied: true } })),
  look('Dora, deactivated', 'getAccountInfo', (v) => ({ did: v.dora.did })),
  status('the account, deactivated', (v) => ({ did: v.dora.did })),
  ...reads('deactivated', 'nobody', null),
  ...reads('deactivated', 'its owner', 'dora'),
  ...reads('deactivated', 'another', 'bob'),
  ...opened('deactivated'),
  update('activated', (v) => ({ subject: account(v), deactivated: { applied: false } })),

  takeDown('the account', account),
  status('the account, taken down', (v) => ({ did: v.dora.did })),
  ...reads('taken down', 'nobody', null),
  ...reads('taken down', 'its owner', 'dora'),
  ...reads('taken down', 'another', 'bob'),
  ...reads('taken down', 'the operator', 'operator'),
  ...opened('taken down'),
  fetchBlob('of an account that is taken down', null),
  fetchBlob('of an account that is taken down, by its owner', 'dora'),
  fetchBlob('of an account that is taken down, by the operator', 'operator'),
  upload('uploadBlob by one taken down'),
  post('refreshSession of one taken down', 'com.atproto.server.refreshSession', undefined, { as: 'dora.refresh' }),
  post('createSession of one taken down, who asks for that', 'com.atproto.server.createSession', (v) => ({
    identifier: v.dora.handle,
    password: v.dora.password,
    allowTakendown: true,
  }), { save: (v, answer) => (v.fallen = answer.json), shape: true }),
  ...reads('taken down', 'its owner, who may leave', 'fallen'),
  fetchBlob('of an account that is taken down, by its owner, who may leave', 'fallen'),
  write('putRecord of one who may leave', 'left', {}, { as: 'fallen' }),
  lift('the account again', account),
  post('refreshSession of one that came back', 'com.atproto.server.refreshSession', undefined, { as: 'dora.refresh' }),
  ...opened('come back'),
  ...reads('come back', 'nobody', null),

  act('a new one', 'updateAccountPassword', (v) => ({ did: v.dora.did, password: 'another password' })),
  act('too long', 'updateAccountPassword', (v) => ({ did: v.dora.did, password: 'x'.repeat(257) })),
  act('no password', 'updateAccountPassword', (v) => ({ did: v.dora.did, password: 'x' }), { as: null }),
  post('createSession with the old password', 'com.atproto.server.createSession', (v) => ({
    identifier: v.dora.handle,
    password: v.dora.password,
  })),
  post('createSession with the new password', 'com.atproto.server.createSession', (v) => ({
    identifier: v.dora.handle,
    password: 'another password',
  }), { shape: true }),
  act('another', 'updateAccountEmail', (v) => ({ account: v.dora.handle, email: `New.${v.dora.email}` })),
  act('of nobody', 'updateAccountEmail', { account: NOBODY, email: 'a@example.com' }),
  act('that is taken', 'updateAccountEmail', (v) => ({ account: v.dora.did, email: v.alice.email })),
  post('createSession by the new address', 'com.atproto.server.createSession', (v) => ({
    identifier: `new.${v.dora.email}`,
    password: 'another password',
  }), { shape: true }),
  act('another', 'updateAccountHandle', (v) => ({ did: v.dora.did, handle: `n${v.dora.handle}`.slice(-16) })),
  act('that is taken', 'updateAccountHandle', (v) => ({ did: v.dora.did, handle: v.alice.handle }), { exact: true }),
  act('of two labels', 'updateAccountHandle', (v) => ({ did: v.dora.did, handle: 'some.one.test' })),
  act('of nobody', 'updateAccountHandle', { did: NOBODY, handle: 'nobody-at-all.test' }),

  act('Dora', 'deleteAccount', (v) => ({ did: v.dora.did })),
  look('Dora, gone', 'getAccountInfo', (v) => ({ did: v.dora.did }), { exact: true }),
  status('the account, gone', (v) => ({ did: v.dora.did })),
  ...reads('gone', 'nobody', null),
]
