// com.atproto.identity: Ivy's handle changes, and what may be done to her DID. And the pages beside XRPC.

import { newcomer } from '../lib/people.mjs'
import { get, post, raw } from './steps.mjs'

const NS = 'com.atproto.identity'
const FRESH = newcomer('iw')
const ABSENT = 'bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'

const rename = (name, handle, options = {}) =>
  post(`updateHandle: ${name}`, `${NS}.updateHandle`, (v) => ({ handle: typeof handle === 'function' ? handle(v) : handle }), {
    as: 'ivy',
    ...options,
  })
const sign = (name, body, options = {}) =>
  post(`signPlcOperation: ${name}`, `${NS}.signPlcOperation`, body, { as: 'ivy', ...options })

/** An operation in all but its signature, which is nobody's. */
const operation = (v, changes = {}) => ({
  type: 'plc_operation',
  ...v.recommended,
  prev: ABSENT,
  sig: Buffer.alloc(64, 7).toString('base64url'),
  ...changes,
})
const submit = (name, changes, options = {}) =>
  post(`submitPlcOperation: ${name}`, `${NS}.submitPlcOperation`, (v) => ({ operation: operation(v, changes(v)) }), {
    as: 'ivy',
    exact: true,
    ...options,
  })
const page = (path) => raw(`page ${path}`, { method: 'GET', path }, { opaque: true })

export const identity = [
  post('createAccount: Ivy', 'com.atproto.server.createAccount', (v) => (v.ivys = newcomer('iv')), {
    save: (v, answer) => (v.ivy = answer.json),
    shape: true,
  }),
  get('getRecommendedDidCredentials', `${NS}.getRecommendedDidCredentials`, {}, {
    as: 'ivy',
    save: (v, answer) => (v.recommended = answer.json),
    shape: true,
  }),
  get('getRecommendedDidCredentials: no token', `${NS}.getRecommendedDidCredentials`, {}),

  rename('no token', 'someone.test', { as: null }),
  rename('missing', undefined),
  rename('not a handle', 'no handle'),
  rename('too short', 'ab.test', { exact: true }),
  rename('too long', `${'a'.repeat(19)}.test`, { exact: true }),
  rename('two labels', 'some.one.test', { exact: true }),
  rename('reserved', 'admin.test', { exact: true }),
  rename('disallowed top level', 'someone.local', { exact: true }),
  rename('taken', (v) => v.alice.handle),
  rename('taken, in capitals', (v) => v.alice.handle.toUpperCase()),
  rename('her own again', (v) => v.ivys.handle),
  rename('a new one', () => FRESH.handle),
  get('getSession after updateHandle', 'com.atproto.server.getSession', {}, { as: 'ivy', shape: true }),
  get('resolveHandle: her new one', `${NS}.resolveHandle`, () => ({ handle: FRESH.handle })),
  get('resolveHandle: her old one', `${NS}.resolveHandle`, (v) => ({ handle: v.ivys.handle }), { exact: true }),
  raw('atproto-did of her new handle', () => ({ method: 'GET', path: '/.well-known/atproto-did', headers: { host: FRESH.handle } })),
  raw('atproto-did of her old handle', (v) => ({ method: 'GET', path: '/.well-known/atproto-did', headers: { host: v.ivys.handle } })),
  rename('back', (v) => v.ivys.handle),

  post('requestPlcOperationSignature: no token', `${NS}.requestPlcOperationSignature`, undefined),
  post('requestPlcOperationSignature', `${NS}.requestPlcOperationSignature`, undefined, { as: 'ivy' }),
  sign('no code', {}, { exact: true }),
  sign('a wrong code', { token: 'AAAAA-AAAAA' }),
  sign('no token', { token: 'AAAAA-AAAAA' }, { as: null }),

  post('submitPlcOperation: no token', `${NS}.submitPlcOperation`, (v) => ({ operation: operation(v) })),
  post('submitPlcOperation: missing', `${NS}.submitPlcOperation`, {}, { as: 'ivy' }),
  post('submitPlcOperation: not an operation', `${NS}.submitPlcOperation`, { operation: { a: 1 } }, { as: 'ivy' }),
  submit('without the rotation key of the host', (v) => ({ rotationKeys: [v.recommended.verificationMethods.atproto] })),
  submit('another kind of service', (v) => ({
    services: { atproto_pds: { ...v.recommended.services.atproto_pds, type: 'Other' } },
  })),
  submit('another host', (v) => ({
    services: { atproto_pds: { ...v.recommended.services.atproto_pds, endpoint: 'https://elsewhere.example' } },
  })),
  submit('another signing key', (v) => ({ verificationMethods: { atproto: v.recommended.rotationKeys[0] } })),
  submit('another handle', () => ({ alsoKnownAs: ['at://someone-else.test'] })),
  submit('signed by nobody', () => ({}), { exact: false }),

  page('/'),
  page('/robots.txt'),
  raw('page /.well-known/change-password', { method: 'GET', path: '/.well-known/change-password' }, { statusOnly: true }),
]
