// com.atproto.repo: writes, reads, lists, blobs.

import { picture, post as feedPost } from '../lib/people.mjs'
import { get, post, raw } from './steps.mjs'

const CREATE = 'com.atproto.repo.createRecord'
const PUT = 'com.atproto.repo.putRecord'
const DELETE = 'com.atproto.repo.deleteRecord'
const APPLY = 'com.atproto.repo.applyWrites'
const GET_RECORD = 'com.atproto.repo.getRecord'
const LIST = 'com.atproto.repo.listRecords'
const UPLOAD = 'com.atproto.repo.uploadBlob'
const POSTS = 'app.bsky.feed.post'
const OWN = 'com.example.thing'
const ODD = 'com.example.odd' // for what servers may judge differently, so that no list depends on it
const ABSENT = 'bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'

/** A post by Alice under `rkey`, with anything changed. */
const write = (rkey, record, changes = {}) => (v) => ({
  repo: v.alice.did,
  collection: POSTS,
  rkey,
  record,
  ...(typeof changes === 'function' ? changes(v) : changes),
})
const create = (name, record, changes, options) => post(name, CREATE, write(undefined, record, changes), { as: 'alice', ...options })
const put = (name, rkey, record, changes, options) => post(name, PUT, write(rkey, record, changes), { as: 'alice', ...options })
const remove = (name, rkey, changes, options) => post(name, DELETE, write(rkey, undefined, changes), { as: 'alice', ...options })
const own = (name, record, changes, options) =>
  create(name, record, (v) => ({ collection: OWN, ...(typeof changes === 'function' ? changes(v) : changes) }), options)
const odd = (name, fields, options) => create(name, { $type: ODD, ...fields }, { collection: ODD }, options)
const apply = (name, writes, changes = {}, options) =>
  post(name, APPLY, (v) => ({
    repo: v.alice.did,
    writes: typeof writes === 'function' ? writes(v) : writes,
    ...(typeof changes === 'function' ? changes(v) : changes),
  }), { as: 'alice', ...options })
const op = (kind, rkey, text, extra = {}) => ({
  $type: `com.atproto.repo.applyWrites#${kind}`,
  collection: POSTS,
  rkey,
  ...(kind === 'delete' ? {} : { value: feedPost(text) }),
  ...extra,
})
const read = (name, rkey, changes, options) =>
  get(name, GET_RECORD, (v) => ({
    repo: v.alice.did,
    collection: POSTS,
    rkey,
    ...(typeof changes === 'function' ? changes(v) : changes),
  }), options)
const list = (name, changes, options) =>
  get(name, LIST, (v) => ({
    repo: v.alice.did,
    collection: OWN,
    ...(typeof changes === 'function' ? changes(v) : changes),
  }), options)
const upload = (name, type, body, options) =>
  raw(name, { method: 'POST', path: `/xrpc/${UPLOAD}`, headers: type ? { 'content-type': type } : {}, body }, {
    as: 'alice',
    ...options,
  })
const withPicture = (blob) => ({ ...feedPost('look'), embed: { $type: 'app.bsky.embed.images', images: [{ image: blob, alt: '' }] } })

export const writes = [
  create('createRecord', feedPost('hello'), {}, { save: (v, a) => (v.hello = a.json) }),
  create('createRecord with a key', feedPost('keyed'), { rkey: '3kabcdefghi2a' }, { save: (v, a) => (v.keyed = a.json) }),
  create('createRecord: key in use', feedPost('again'), { rkey: '3kabcdefghi2a' }, { exact: true }),
  create('createRecord by handle', feedPost('by handle'), (v) => ({ repo: v.alice.handle })),
  create('createRecord: no token', feedPost('x'), {}, { as: null, exact: true }),
  create('createRecord: somebody else\'s token', feedPost('x'), {}, { as: 'bob', exact: true }),
  create('createRecord: a repo nobody has', feedPost('x'), { repo: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' }, { exact: true }),
  create('createRecord: repo is not an identifier', feedPost('x'), { repo: 'x' }),
  create('createRecord: no $type', { text: 'untyped', createdAt: '2024-05-06T07:08:09.123Z' }),
  create('createRecord: another $type', feedPost('x', { $type: 'app.bsky.feed.like' })),
  create('createRecord: key not a TID where one is wanted', feedPost('x'), { rkey: 'not-a-tid' }),
  create('createRecord: key is a dot', feedPost('x'), { rkey: '.' }),
  create('createRecord: key with a slash', feedPost('x'), { rkey: 'a/b' }),
  create('createRecord: key of 513 characters', feedPost('x'), { rkey: 'a'.repeat(513) }),
  create('createRecord: collection is not a name', feedPost('x'), { collection: 'posts' }),
  create('createRecord: record missing', undefined),
  create('createRecord: record is a string', 'x'),
  create('createRecord: required field missing', { $type: POSTS, text: 'x' }),
  create('createRecord: required field missing, validate false', { $type: POSTS, text: 'x' }, { validate: false }),
  create('createRecord: text too long', feedPost('x'.repeat(3001))),
  create('createRecord: text of the wrong kind', feedPost(7)),
  create('createRecord: time not a time', feedPost('x', { createdAt: 'yesterday' })),
  create('createRecord: validate true', feedPost('valid'), { validate: true }),
  create('createRecord: validate false', feedPost('not looked at'), { validate: false }),
  own('createRecord: unknown lexicon', { $type: OWN, n: 1 }, { rkey: 'one' }),
  own('createRecord: unknown lexicon, validate true', { $type: OWN, n: 1 }, { validate: true }, { exact: true }),
  own('createRecord: unknown lexicon, validate false', { $type: OWN, n: 2 }, { validate: false, rkey: 'two' }),
  own('createRecord: every kind of value', {
    $type: OWN,
    n: -5,
    big: 9007199254740991,
    t: true,
    nothing: null,
    text: 'ünï 🌍\u0000',
    bytes: { $bytes: 'AAECAwQ' },
    link: { $link: ABSENT },
    list: [1, 'two', [3], { four: 4 }],
    map: { b: 1, aa: 2, A: 3, 'ü': 4 },
  }, { rkey: 'values' }),
  odd('createRecord: plain, beside the odd ones', { n: 1 }),
  odd('createRecord: an empty key', { map: { '': 1 } }),
  odd('createRecord: a fraction', { n: 1.5 }),
  odd('createRecord: an integer too great', { n: 9007199254740992 }),
  odd('createRecord: a broken link', { link: { $link: 'nonsense' } }),
  odd('createRecord: a link with another key', { link: { $link: ABSENT, x: 1 } }),
  odd('createRecord: broken bytes', { bytes: { $bytes: '***' } }),
  odd('createRecord: an empty $type within', { inner: { $type: '' } }),
  odd('createRecord: a legacy blob', { blob: { cid: ABSENT, mimeType: 'image/png' } }),
  odd('createRecord: a blob nobody uploaded', {
    blob: { $type: 'blob', ref: { $link: 'bafkreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi' }, mimeType: 'image/png', size: 9 },
  }, { exact: true }),
  create('createRecord: swapCommit of another commit', feedPost('x'), { swapCommit: ABSENT }),
  create('createRecord: swapCommit not a CID', feedPost('x'), { swapCommit: 'x' }),
  get('getLatestCommit before a swap', 'com.atproto.sync.getLatestCommit', (v) => ({ did: v.alice.did }), {
    save: (v, a) => (v.head = a.json.cid),
  }),
  create('createRecord: swapCommit of the head', feedPost('swapped'), (v) => ({ swapCommit: v.head })),

  put('putRecord: new', '3kabcdefghi2b', feedPost('put'), {}, { save: (v, a) => (v.put = a.json) }),
  put('putRecord: the same again changes nothing', '3kabcdefghi2b', feedPost('put')),
  put('putRecord: changed', '3kabcdefghi2b', feedPost('put anew'), {}, { save: (v, a) => (v.put = a.json) }),
  put('putRecord: swapRecord of another record', '3kabcdefghi2b', feedPost('x'), { swapRecord: ABSENT }),
  put('putRecord: swapRecord null where one is', '3kabcdefghi2b', feedPost('x'), { swapRecord: null }),
  put('putRecord: swapRecord right', '3kabcdefghi2b', feedPost('put thrice'), (v) => ({ swapRecord: v.put.cid })),
  put('putRecord: swapRecord null where none is', '3kabcdefghi2c', feedPost('fresh'), { swapRecord: null }),
  put('putRecord: swapRecord of a record where none is', '3kabcdefghi2d', feedPost('x'), { swapRecord: ABSENT }),
  put('putRecord: swapCommit wrong', '3kabcdefghi2b', feedPost('x'), { swapCommit: ABSENT }),
  put('putRecord: key missing', undefined, feedPost('x')),
  put('putRecord: profile under a wrong key', 'me', { $type: 'app.bsky.actor.profile' }, { collection: 'app.bsky.actor.profile' }),
  put('putRecord: profile', 'self', { $type: 'app.bsky.actor.profile', displayName: 'Alice' }, { collection: 'app.bsky.actor.profile' }),
  put('putRecord: somebody else\'s token', '3kabcdefghi2b', feedPost('x'), {}, { as: 'bob' }),

  remove('deleteRecord: swapRecord wrong', '3kabcdefghi2c', { swapRecord: ABSENT }),
  remove('deleteRecord: swapCommit wrong', '3kabcdefghi2c', { swapCommit: ABSENT }),
  remove('deleteRecord', '3kabcdefghi2c'),
  remove('deleteRecord: already gone', '3kabcdefghi2c'),
  remove('deleteRecord: already gone, swapRecord', '3kabcdefghi2c', { swapRecord: ABSENT }),
  remove('deleteRecord: no token', '3kabcdefghi2b', {}, { as: null }),
  remove('deleteRecord: somebody else\'s token', '3kabcdefghi2b', {}, { as: 'bob' }),

  apply('applyWrites: all three kinds', [
    op('create', '3kabcdefghi2e', 'batch'),
    op('update', '3kabcdefghi2b', 'batch update'),
    op('delete', '3kabcdefghi2a'),
  ]),
  apply('applyWrites: a create without a key', [op('create', undefined, 'keyless')]),
  apply('applyWrites: none', []),
  apply('applyWrites: 201', Array.from({ length: 201 }, (_, i) => op('create', undefined, `n${i}`)), {}, { exact: true }),
  apply('applyWrites: create over an existing key', [op('create', '3kabcdefghi2e', 'x')]),
  apply('applyWrites: update of nothing', [op('update', '3kabcdefghi2z', 'x')]),
  apply('applyWrites: delete of nothing', [op('delete', '3kabcdefghi2z')]),
  apply('applyWrites: one key twice', [op('create', '3kabcdefghi2f', 'x'), op('update', '3kabcdefghi2f', 'y')]),
  apply('applyWrites: created and deleted at once', [op('create', '3kabcdefghi2g', 'x'), op('delete', '3kabcdefghi2g')]),
  apply('applyWrites: one bad write spoils all', [op('create', '3kabcdefghi2h', 'x'), op('create', '3kabcdefghi2i', 7)]),
  read('getRecord: nothing of a spoilt batch', '3kabcdefghi2h'),
  apply('applyWrites: no $type', [{ collection: POSTS, rkey: '3kabcdefghi2j', value: feedPost('x') }]),
  apply('applyWrites: unknown $type', [op('upsert', '3kabcdefghi2j', 'x')]),
  apply('applyWrites: swapCommit wrong', [op('create', '3kabcdefghi2j', 'x')], { swapCommit: ABSENT }),
  apply('applyWrites: validate true, unknown lexicon', [op('create', 'k', '', { collection: OWN, value: { $type: OWN } })], {
    validate: true,
  }),
  apply('applyWrites: validate false', [op('create', '3kabcdefghi2k', 'loose')], { validate: false }),
  apply('applyWrites: somebody else\'s token', [op('create', '3kabcdefghi2j', 'x')], {}, { as: 'bob' }),
  apply('applyWrites: no token', [op('create', '3kabcdefghi2j', 'x')], {}, { as: null }),
]

export const reads = [
  read('getRecord', '3kabcdefghi2b'),
  read('getRecord by handle', '3kabcdefghi2b', (v) => ({ repo: v.alice.handle })),
  read('getRecord: right cid', '3kabcdefghi2e', { cid: 'bafyreih4hgjvbi7gn6q5f7gcctnyttuqleam2iwcu7jhmhhl2dxx2krf2e' }),
  read('getRecord: wrong cid', '3kabcdefghi2b', { cid: ABSENT }, { exact: true }),
  read('getRecord: none', '3kabcdefghi2z', {}, { exact: true }),
  read('getRecord: no such collection', 'x', { collection: 'com.example.other' }, { exact: true }),
  read('getRecord: unknown repo', 'x', { repo: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' }),
  read('getRecord: unknown handle', 'x', { repo: 'nobody-at-all.test' }),
  read('getRecord: every kind of value', 'values', { collection: OWN }),

  list('listRecords'),
  list('listRecords: reverse', { reverse: true }),
  list('listRecords: limit', { limit: 2 }),
  list('listRecords: after a cursor', { limit: 2, cursor: 'two' }),
  list('listRecords: reverse after a cursor', { limit: 2, cursor: 'one', reverse: true }),
  list('listRecords: cursor at the end', { cursor: 'a' }),
  list('listRecords: limit met exactly', { limit: 3 }),
  list('listRecords: rkeyStart, rkeyEnd are gone', { rkeyStart: 'a', rkeyEnd: 'p' }),
  list('listRecords: empty collection', { collection: 'com.example.other' }),
  list('listRecords by handle', (v) => ({ repo: v.alice.handle })),
  list('listRecords: unknown repo', { repo: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' }),
  list('listRecords: unknown handle', { repo: 'nobody-at-all.test' }),

  get('describeRepo', 'com.atproto.repo.describeRepo', (v) => ({ repo: v.alice.did })),
  get('describeRepo by handle', 'com.atproto.repo.describeRepo', (v) => ({ repo: v.alice.handle })),
  get('describeRepo: unknown', 'com.atproto.repo.describeRepo', { repo: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' }),
  get('describeRepo: unknown handle', 'com.atproto.repo.describeRepo', { repo: 'nobody-at-all.test' }),
]

const png = picture(Buffer.from('murmuration'))

export const blobs = [
  upload('uploadBlob: a picture', 'image/png', png, { save: (v, a) => (v.blob = a.json.blob) }),
  upload('uploadBlob: the same again', 'image/png', png),
  upload('uploadBlob: the type is sniffed', 'text/plain', picture(Buffer.from('sniffed'))),
  upload('uploadBlob: any bytes', 'application/octet-stream', Buffer.from([0, 1, 2, 3])),
  upload('uploadBlob: text', 'text/plain', Buffer.from('plain words'), { save: (v, a) => (v.words = a.json.blob) }),
  upload('uploadBlob: type with a parameter', 'text/plain; charset=utf-8', Buffer.from('words with a charset')),
  upload('uploadBlob: JSON', 'application/json', Buffer.from('{"a":1}')),
  upload('uploadBlob: a page', 'text/html', Buffer.from('<script>alert(1)</script>'), { save: (v, a) => (v.page = a.json.blob) }),
  upload('uploadBlob: nothing', 'text/plain', Buffer.alloc(0)),
  upload('uploadBlob: no type', undefined, Buffer.from('typeless')),
  upload('uploadBlob: bad type', 'nonsense', Buffer.from('x')),
  upload('uploadBlob: no token', 'image/png', png, { as: null }),
  upload('uploadBlob: too large', 'application/octet-stream', Buffer.alloc(5_242_881)),

  get('getBlob: not referenced yet', 'com.atproto.sync.getBlob', (v) => ({ did: v.alice.did, cid: v.blob.ref.$link }), { exact: true }),
  get('listBlobs: none referenced yet', 'com.atproto.sync.listBlobs', (v) => ({ did: v.alice.did })),
  put('putRecord: blob of another size', '3kabcdefghi2m', undefined, (v) => ({ record: withPicture({ ...v.blob, size: 1 }) })),
  put('putRecord: blob of another type', '3kabcdefghi2m', undefined, (v) => ({ record: withPicture({ ...v.blob, mimeType: 'image/jpeg' }) })),
  put('putRecord: text where a picture is wanted', '3kabcdefghi2m', undefined, (v) => ({ record: withPicture(v.words) })),
  put('putRecord: picture', '3kabcdefghi2m', undefined, (v) => ({ record: withPicture(v.blob) })),
  put('putRecord: page', 'page', undefined, (v) => ({ collection: OWN, record: { $type: OWN, page: v.page, words: v.words } })),
  get('getBlob', 'com.atproto.sync.getBlob', (v) => ({ did: v.alice.did, cid: v.blob.ref.$link })),
  get('getBlob: a page', 'com.atproto.sync.getBlob', (v) => ({ did: v.alice.did, cid: v.page.ref.$link })),
  raw('getBlob: HEAD', (v) => ({
    method: 'HEAD',
    path: `/xrpc/com.atproto.sync.getBlob?did=${v.alice.did}&cid=${v.blob.ref.$link}`,
  })),
  get('getBlob: unknown', 'com.atproto.sync.getBlob', (v) => ({ did: v.alice.did, cid: ABSENT }), { exact: true }),
  get('getBlob: not a CID', 'com.atproto.sync.getBlob', (v) => ({ did: v.alice.did, cid: 'x' })),
  get('getBlob: another\'s', 'com.atproto.sync.getBlob', (v) => ({ did: v.bob.did, cid: v.blob.ref.$link })),
  get('getBlob: unknown repo', 'com.atproto.sync.getBlob', (v) => ({ did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', cid: v.blob.ref.$link })),
  get('listBlobs', 'com.atproto.sync.listBlobs', (v) => ({ did: v.alice.did })),
  get('listBlobs: a page of one', 'com.atproto.sync.listBlobs', (v) => ({ did: v.alice.did, limit: 1 })),
  get('listBlobs: since the last commit', 'com.atproto.sync.listBlobs', (v) => ({ did: v.alice.did, since: '3zzzzzzzzzzzz' })),
  get('listBlobs: unknown repo', 'com.atproto.sync.listBlobs', { did: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa' }),
  remove('deleteRecord: the only one with the picture', '3kabcdefghi2m'),
  get('getBlob: no longer referenced', 'com.atproto.sync.getBlob', (v) => ({ did: v.alice.did, cid: v.blob.ref.$link })),
]
