// @atproto/api: the client most programs use. Accounts, sessions, records, batches, lists, blobs.

import assert from 'node:assert/strict'
import { AtpAgent, RichText } from '@atproto/api'
import { newcomer, picture, post } from '../lib/people.mjs'
import { failure, fails } from '../lib/runner.mjs'

const POSTS = 'app.bsky.feed.post'
const THINGS = 'com.example.thing'
const ABSENT = 'bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'

export default async function atprotoApi(runner, { url }) {
  await runner.suite('@atproto/api accounts and sessions', (test) => sessions(test, url))
  await runner.suite('@atproto/api records', (test) => records(test, url))
  await runner.suite('@atproto/api batches and lists', (test) => batches(test, url))
  await runner.suite('@atproto/api blobs', (test) => blobs(test, url))
}

async function member(url) {
  const agent = new AtpAgent({ service: url })
  const who = newcomer('api')
  await agent.createAccount(who)
  return { agent, who, did: agent.session.did, repo: agent.com.atproto.repo }
}

async function sessions(test, url) {
  const who = newcomer('api')
  let agent = new AtpAgent({ service: url })

  await test('describeServer names the handle domain and the service', async () => {
    const { data } = await agent.com.atproto.server.describeServer()
    assert.ok(data.availableUserDomains.includes('.test'))
    assert.match(data.did, /^did:web:/)
    assert.equal(data.inviteCodeRequired ?? false, false)
  })

  await test('createAccount makes a did:plc account and logs it in', async () => {
    await agent.createAccount(who)
    assert.equal(agent.session.handle, who.handle)
    assert.match(agent.session.did, /^did:plc:[a-z2-7]{24}$/)
    assert.equal(agent.session.active, true)
  })
  const did = agent.session.did

  await test('a taken handle and a taken address are refused by name', async () => {
    const another = new AtpAgent({ service: url })
    const taken = await failure(another.createAccount({ ...newcomer('api'), handle: who.handle }))
    assert.equal(taken.message, `Handle already taken: ${who.handle}`)
    assert.ok(['HandleNotAvailable', 'InvalidRequest'].includes(taken.error), taken.error)
    await fails(another.createAccount({ ...newcomer('api'), email: who.email }), {
      status: 400,
      error: 'InvalidRequest',
      message: `Email already taken: ${who.email}`,
    })
    assert.equal(another.session, undefined)
  })

  for (const key of ['handle', 'did', 'email']) {
    await test(`login by ${key}`, async () => {
      const fresh = new AtpAgent({ service: url })
      const { data } = await fresh.login({ identifier: { ...who, did }[key], password: who.password })
      assert.equal(data.did, did)
      assert.equal(data.handle, who.handle)
      assert.equal(data.email, who.email)
      assert.equal(data.emailConfirmed, false)
      assert.equal(data.active, true)
    })
  }

  await test('a wrong password and an unknown name are refused alike', async () => {
    const refusal = { status: 401, error: 'AuthenticationRequired', message: 'Invalid identifier or password' }
    const fresh = new AtpAgent({ service: url })
    await fails(fresh.login({ identifier: who.handle, password: 'wrong' }), refusal)
    await fails(fresh.login({ identifier: newcomer('no').handle, password: 'wrong' }), refusal)
    await fails(fresh.login({ identifier: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', password: 'wrong' }), refusal)
    await fails(fresh.login({ identifier: newcomer('no').email, password: 'wrong' }), refusal)
  })

  await test('getSession says who is logged in', async () => {
    const { data, headers } = await agent.com.atproto.server.getSession()
    assert.equal(data.did, did)
    assert.equal(data.handle, who.handle)
    assert.equal(data.email, who.email)
    assert.equal(data.active, true)
    assert.equal(headers['cache-control'], 'private')
  })

  await test('a saved session is resumed by a new agent', async () => {
    const events = []
    const resumed = new AtpAgent({ service: url, persistSession: (event) => events.push(event) })
    await resumed.resumeSession({ ...agent.session })
    assert.equal(resumed.session.did, did)
    assert.equal((await resumed.com.atproto.server.getSession()).data.did, did)
    assert.deepEqual([...new Set(events)], ['update'])
    agent = resumed
  })

  await test('refreshSession gives a new pair, and the old one for a while', async () => {
    const before = { ...agent.session }
    await agent.sessionManager.refreshSession()
    assert.notEqual(agent.session.refreshJwt, before.refreshJwt)
    const again = await new AtpAgent({ service: url }).com.atproto.server.refreshSession(undefined, {
      headers: { authorization: `Bearer ${before.refreshJwt}` },
    })
    assert.equal(again.data.did, did)
    const id = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url')).jti
    assert.equal(id(again.data.refreshJwt), id(agent.session.refreshJwt), 'the same next token within the grace period')
  })

  await test('tokens have the claims and lives that the reference gives them', () => {
    const claims = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[1], 'base64url'))
    const head = (jwt) => JSON.parse(Buffer.from(jwt.split('.')[0], 'base64url'))
    const { accessJwt, refreshJwt } = agent.session
    assert.deepEqual(head(accessJwt), { typ: 'at+jwt', alg: 'HS256' })
    assert.deepEqual(head(refreshJwt), { typ: 'refresh+jwt', alg: 'HS256' })
    const access = claims(accessJwt)
    assert.equal(access.scope, 'com.atproto.access')
    assert.equal(access.sub, did)
    assert.match(access.aud, /^did:web:/)
    assert.equal(access.exp - access.iat, 2 * 60 * 60)
    const refresh = claims(refreshJwt)
    assert.equal(refresh.scope, 'com.atproto.refresh')
    assert.equal(refresh.sub, did)
    assert.ok(refresh.jti)
    assert.equal(refresh.exp - refresh.iat, 90 * 24 * 60 * 60)
  })

  await test('logout ends the session: its refresh token is revoked', async () => {
    const left = { ...agent.session }
    await agent.logout()
    assert.equal(agent.session, undefined)
    const fresh = new AtpAgent({ service: url })
    await fails(
      fresh.com.atproto.server.refreshSession(undefined, { headers: { authorization: `Bearer ${left.refreshJwt}` } }),
      { status: 400, error: 'ExpiredToken', message: 'Token has been revoked' },
    )
    const events = []
    const late = new AtpAgent({ service: url, persistSession: (event) => events.push(event) })
    await fails(late.resumeSession(left), { status: 400, error: 'ExpiredToken', message: 'Token has been revoked' })
    assert.ok(events.includes('expired'), `an expired session is told as such: ${events}`)
    assert.equal(late.session, undefined)
  })

  await test('resolveHandle knows the handle, and no stranger\'s', async () => {
    const anyone = new AtpAgent({ service: url })
    assert.equal((await anyone.resolveHandle({ handle: who.handle })).data.did, did)
    await fails(anyone.resolveHandle({ handle: newcomer('no').handle }), {
      status: 400,
      error: 'HandleNotFound',
      message: 'Unable to resolve handle',
    })
  })
}

async function records(test, url) {
  const { agent, did, repo, who } = await member(url)
  const at = (rkey, collection = POSTS) => ({ repo: did, collection, rkey })

  await test('post, read back, delete', async () => {
    const text = new RichText({ text: 'hello #world' })
    text.detectFacetsWithoutResolution()
    const made = await agent.post({ text: text.text, facets: text.facets })
    const got = await agent.getPost({ repo: did, rkey: made.uri.split('/').at(-1) })
    assert.equal(got.cid, made.cid)
    assert.equal(got.value.text, 'hello #world')
    assert.equal(got.value.facets.length, 1)
    await agent.deletePost(made.uri)
    await fails(repo.getRecord(at(made.uri.split('/').at(-1))), {
      status: 400,
      error: 'RecordNotFound',
      message: `Could not locate record: ${made.uri}`,
    })
  })

  await test('createRecord answers uri, cid, commit and validation', async () => {
    const { data } = await repo.createRecord({ repo: did, collection: POSTS, record: post('one') })
    assert.match(data.uri, new RegExp(`^at://${did}/${POSTS}/3[a-z2-7]{12}$`))
    assert.equal(data.validationStatus, 'valid')
    const head = await agent.com.atproto.sync.getLatestCommit({ did })
    assert.deepEqual(head.data, data.commit)
  })

  await test('revisions and generated keys only go up', async () => {
    const seen = []
    for (let i = 0; i < 10; i++) {
      const { data } = await repo.createRecord({ repo: did, collection: POSTS, record: post(`n${i}`) })
      seen.push({ rev: data.commit.rev, rkey: data.uri.split('/').at(-1) })
    }
    for (let i = 1; i < seen.length; i++) {
      assert.ok(seen[i].rev > seen[i - 1].rev)
      assert.ok(seen[i].rkey > seen[i - 1].rkey)
    }
  })

  await test('writes sent at once are all there', async () => {
    const made = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        repo.createRecord({ repo: did, collection: 'com.example.rush', rkey: `k${i}`, record: { $type: 'com.example.rush', i } }),
      ),
    )
    assert.equal(new Set(made.map(({ data }) => data.cid)).size, 20)
    const { data } = await repo.listRecords({ repo: did, collection: 'com.example.rush', limit: 100 })
    assert.deepEqual(data.records.map(({ value }) => value.i).sort((a, b) => a - b), [...Array(20).keys()])
  })

  await test('putRecord makes, changes and leaves alone', async () => {
    const made = await repo.putRecord({ ...at('p', THINGS), record: { $type: THINGS, n: 1 } })
    const changed = await repo.putRecord({ ...at('p', THINGS), record: { $type: THINGS, n: 2 } })
    assert.equal(made.data.uri, changed.data.uri)
    assert.notEqual(made.data.cid, changed.data.cid)
    const same = await repo.putRecord({ ...at('p', THINGS), record: { n: 2, $type: THINGS } })
    assert.equal(same.data.cid, changed.data.cid)
    assert.equal(same.data.commit, undefined, 'no commit for a put that changes nothing')
    const head = await agent.com.atproto.sync.getLatestCommit({ did })
    assert.deepEqual(head.data, changed.data.commit)
  })

  await test('swapRecord and swapCommit hold against a stale writer', async () => {
    const v1 = (await repo.putRecord({ ...at('swap', THINGS), record: { $type: THINGS, n: 1 } })).data
    const v2 = (await repo.putRecord({ ...at('swap', THINGS), record: { $type: THINGS, n: 2 }, swapRecord: v1.cid })).data
    const stale = { status: 400, error: 'InvalidSwap', message: `Record was at ${v2.cid}` }
    await fails(repo.putRecord({ ...at('swap', THINGS), record: { $type: THINGS, n: 3 }, swapRecord: v1.cid }), stale)
    await fails(repo.putRecord({ ...at('swap', THINGS), record: { $type: THINGS, n: 3 }, swapRecord: null }), stale)
    await fails(repo.deleteRecord({ ...at('swap', THINGS), swapRecord: v1.cid }), stale)
    const moved = { status: 400, error: 'InvalidSwap', message: `Commit was at ${v2.commit.cid}` }
    await fails(repo.putRecord({ ...at('swap', THINGS), record: { $type: THINGS }, swapCommit: v1.commit.cid }), moved)
    await fails(repo.createRecord({ repo: did, collection: THINGS, record: { $type: THINGS }, swapCommit: ABSENT }), moved)
    await fails(repo.applyWrites({ repo: did, writes: [], swapCommit: ABSENT }), moved)
    await repo.deleteRecord({ ...at('swap', THINGS), swapRecord: v2.cid, swapCommit: v2.commit.cid })
  })

  await test('only one of many writers swaps', async () => {
    const { data } = await agent.com.atproto.sync.getLatestCommit({ did })
    const tries = await Promise.allSettled(
      Array.from({ length: 6 }, (_, i) =>
        repo.createRecord({ repo: did, collection: THINGS, record: { $type: THINGS, i }, swapCommit: data.cid }),
      ),
    )
    assert.equal(tries.filter(({ status }) => status === 'fulfilled').length, 1)
    assert.ok(tries.every(({ reason }) => reason === undefined || reason.error === 'InvalidSwap'))
  })

  await test('deleting what is not there changes nothing', async () => {
    const before = await agent.com.atproto.sync.getLatestCommit({ did })
    const { data } = await repo.deleteRecord(at('never', THINGS))
    assert.deepEqual(data, {})
    const after = await agent.com.atproto.sync.getLatestCommit({ did })
    assert.deepEqual(after.data, before.data)
  })

  await test('profile, like and follow through the client\'s own helpers', async () => {
    await agent.upsertProfile((old) => ({ ...old, displayName: 'Api' }))
    await agent.upsertProfile((old) => ({ ...old, description: 'twice' }))
    const profile = await repo.getRecord({ repo: did, collection: 'app.bsky.actor.profile', rkey: 'self' })
    assert.equal(profile.data.value.displayName, 'Api')
    assert.equal(profile.data.value.description, 'twice')
    const made = await agent.post({ text: 'like me' })
    const like = await agent.like(made.uri, made.cid)
    const again = await agent.like(made.uri, made.cid)
    const likes = await repo.listRecords({ repo: did, collection: 'app.bsky.feed.like' })
    assert.deepEqual(likes.data.records.map(({ uri }) => uri), [again.uri], 'a second like of one post replaces the first')
    assert.notEqual(like.uri, again.uri)
    await agent.deleteLike(again.uri)
    const other = await member(url)
    const follow = await agent.follow(other.did)
    await agent.deleteFollow(follow.uri)
  })

  await test('describeRepo tells collections, document and a right handle', async () => {
    const { data } = await repo.describeRepo({ repo: who.handle })
    assert.equal(data.did, did)
    assert.equal(data.handle, who.handle)
    assert.equal(data.handleIsCorrect, true)
    assert.ok(data.collections.includes(POSTS) && data.collections.includes(THINGS))
    assert.ok(!data.collections.includes('app.bsky.feed.like'), 'an emptied collection is gone')
    assert.equal(data.didDoc.id, did)
    assert.deepEqual(data.didDoc.alsoKnownAs, [`at://${who.handle}`])
  })

  await test('another account may read but not write', async () => {
    const other = await member(url)
    const { data } = await repo.createRecord({ repo: did, collection: POSTS, record: post('mine') })
    const rkey = data.uri.split('/').at(-1)
    assert.equal((await other.repo.getRecord(at(rkey))).data.cid, data.cid)
    const refusal = { status: 401, error: 'AuthenticationRequired' }
    await fails(other.repo.createRecord({ repo: did, collection: POSTS, record: post('x') }), refusal)
    await fails(other.repo.putRecord({ ...at(rkey), record: post('x') }), refusal)
    await fails(other.repo.deleteRecord(at(rkey)), refusal)
    await fails(other.repo.applyWrites({ repo: did, writes: [] }), refusal)
    await fails(new AtpAgent({ service: url }).com.atproto.repo.deleteRecord(at(rkey)), { status: 401, error: 'AuthMissing' })
  })

  await test('records are held against their lexicons', async () => {
    const make = (record, more = {}) => repo.createRecord({ repo: did, collection: POSTS, record, ...more })
    const invalid = { status: 400, error: 'InvalidRequest' }
    await fails(make({ $type: POSTS, text: 7, createdAt: new Date().toISOString() }), invalid)
    await fails(make({ $type: POSTS, text: 'x' }), invalid)
    await fails(make(post('x'), { rkey: 'not-a-tid' }), invalid)
    await fails(make({ ...post('x'), $type: 'app.bsky.feed.like' }), invalid)
    await fails(repo.createRecord({ repo: did, collection: THINGS, record: { $type: THINGS }, validate: true }), invalid)
    const unknown = await repo.createRecord({ repo: did, collection: THINGS, record: { $type: THINGS } })
    assert.equal(unknown.data.validationStatus, 'unknown')
    const loose = await make({ $type: POSTS, text: 'x' }, { validate: false })
    assert.equal(loose.data.validationStatus, undefined)
    await fails(repo.createRecord({ repo: did, collection: THINGS, record: { $type: THINGS, n: 0.5 } }), invalid)
  })
}

async function batches(test, url) {
  const { did, repo } = await member(url)
  const create = (collection, rkey, value) => ({ $type: 'com.atproto.repo.applyWrites#create', collection, rkey, value })

  await test('a batch of 200 is one commit, its results in order', async () => {
    const writes = Array.from({ length: 200 }, (_, i) =>
      create(THINGS, `k${String(i).padStart(3, '0')}`, { $type: THINGS, i, text: `number ${i}` }),
    )
    const { data } = await repo.applyWrites({ repo: did, writes })
    assert.equal(data.results.length, 200)
    data.results.forEach((result, i) => {
      assert.equal(result.$type, 'com.atproto.repo.applyWrites#createResult')
      assert.equal(result.uri, `at://${did}/${THINGS}/k${String(i).padStart(3, '0')}`)
      assert.equal(result.validationStatus, 'unknown')
    })
    assert.ok(data.commit.rev)
  })

  await test('a batch of 201 is refused whole', async () => {
    const writes = Array.from({ length: 201 }, (_, i) => create('com.example.more', `k${i}`, { $type: 'com.example.more', i }))
    await fails(repo.applyWrites({ repo: did, writes }), {
      status: 400,
      error: 'InvalidRequest',
      message: 'Too many writes. Max: 200',
    })
    const { data } = await repo.listRecords({ repo: did, collection: 'com.example.more' })
    assert.deepEqual(data.records, [])
  })

  await test('a batch mixes creates, updates and deletes', async () => {
    const { data } = await repo.applyWrites({
      repo: did,
      writes: [
        { $type: 'com.atproto.repo.applyWrites#update', collection: THINGS, rkey: 'k000', value: { $type: THINGS, i: -1 } },
        { $type: 'com.atproto.repo.applyWrites#delete', collection: THINGS, rkey: 'k001' },
        create(THINGS, 'k200', { $type: THINGS, i: 200 }),
        { $type: 'com.atproto.repo.applyWrites#create', collection: POSTS, value: post('keyless') },
      ],
    })
    assert.deepEqual(
      data.results.map(({ $type }) => $type.split('#')[1]),
      ['updateResult', 'deleteResult', 'createResult', 'createResult'],
    )
    assert.equal((await repo.getRecord({ repo: did, collection: THINGS, rkey: 'k000' })).data.value.i, -1)
  })

  await test('a batch with one bad write changes nothing', async () => {
    const writes = [create(POSTS, '3kabcdefghi2a', post('good')), create(POSTS, '3kabcdefghi2b', { $type: POSTS })]
    await fails(repo.applyWrites({ repo: did, writes }), { status: 400, error: 'InvalidRequest' })
    await fails(repo.getRecord({ repo: did, collection: POSTS, rkey: '3kabcdefghi2a' }), { status: 400, error: 'RecordNotFound' })
  })

  const keys = (data) => data.records.map(({ uri }) => uri.split('/').at(-1))
  const all = ['k000', ...Array.from({ length: 199 }, (_, i) => `k${String(i + 2).padStart(3, '0')}`)]

  await test('listRecords goes down by key, 50 at a time', async () => {
    const { data } = await repo.listRecords({ repo: did, collection: THINGS })
    assert.deepEqual(keys(data), all.toReversed().slice(0, 50))
    assert.equal(data.cursor, keys(data).at(-1))
    assert.equal(data.records[0].value.$type, THINGS)
    assert.match(data.records[0].cid, /^bafyrei/)
  })

  for (const reverse of [false, true]) {
    await test(`listRecords pages through all, once each${reverse ? ', in reverse' : ''}`, async () => {
      const seen = []
      let cursor
      for (let page = 0; page < 20; page++) {
        const { data } = await repo.listRecords({ repo: did, collection: THINGS, limit: 37, cursor, reverse })
        seen.push(...keys(data))
        cursor = data.cursor
        if (cursor === undefined || data.records.length === 0) break
      }
      assert.deepEqual(seen, reverse ? all : all.toReversed())
    })
  }

  await test('listRecords refuses limits out of range', async () => {
    const invalid = { status: 400, error: 'InvalidRequest' }
    await fails(repo.listRecords({ repo: did, collection: THINGS, limit: 0 }), invalid)
    await fails(repo.listRecords({ repo: did, collection: THINGS, limit: 101 }), invalid)
    const { data } = await repo.listRecords({ repo: did, collection: THINGS, limit: 100 })
    assert.equal(data.records.length, 100)
  })

  await test('keys of every allowed shape keep their order, byte by byte', async () => {
    const odd = ['-', '.a', '0', ':', 'A', 'A.B', '_', 'a', 'a-b', 'a:b', 'aa', 'b'.repeat(512), 'z', '~', '~~']
    const writes = odd.map((rkey, i) => create('com.example.keys', rkey, { $type: 'com.example.keys', i }))
    await repo.applyWrites({ repo: did, writes: writes.toReversed() })
    const { data } = await repo.listRecords({ repo: did, collection: 'com.example.keys', reverse: true })
    assert.deepEqual(keys(data), odd)
    for (const rkey of odd) assert.equal((await repo.getRecord({ repo: did, collection: 'com.example.keys', rkey })).data.value.i, odd.indexOf(rkey))
  })

  await test('listRecords of an empty collection and of no repo', async () => {
    const { data } = await repo.listRecords({ repo: did, collection: 'com.example.empty' })
    assert.deepEqual(data.records, [])
    assert.equal(data.cursor, undefined)
    await fails(repo.listRecords({ repo: 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', collection: THINGS }), {
      status: 400,
      error: 'InvalidRequest',
    })
  })
}

async function blobs(test, url) {
  const { agent, did, repo } = await member(url)
  const sync = agent.com.atproto.sync
  const bytes = picture()
  const image = (blob) => ({ ...post('look'), embed: { $type: 'app.bsky.embed.images', images: [{ image: blob, alt: 'a dot' }] } })
  /** The lexicon's name for it is BlobNotFound; the reference says InvalidRequest. */
  const isMissing = async (promise) => {
    const { status, error, message } = await failure(promise)
    assert.deepEqual({ status, message }, { status: 400, message: 'Blob not found' })
    assert.ok(['BlobNotFound', 'InvalidRequest'].includes(error), error)
  }
  let blob
  let uri

  await test('uploadBlob answers a reference to the bytes', async () => {
    blob = (await agent.uploadBlob(bytes, { encoding: 'image/png' })).data.blob
    assert.equal(blob.mimeType, 'image/png')
    assert.equal(blob.size, bytes.length)
    assert.match(blob.ref.toString(), /^bafkrei/)
  })

  await test('a blob is not served before a record names it', async () => {
    await isMissing(sync.getBlob({ did, cid: blob.ref.toString() }))
    assert.deepEqual((await sync.listBlobs({ did })).data.cids, [])
  })

  await test('a record that lies about a blob is refused', async () => {
    const cases = [
      [{ ...blob.ipld(), size: 1 }, 'InvalidSize'],
      [{ ...blob.ipld(), mimeType: 'image/jpeg' }, 'InvalidMimeType'],
    ]
    for (const [ref, error] of cases) {
      await fails(repo.createRecord({ repo: did, collection: POSTS, record: image(ref) }), { status: 400, error })
    }
    const unknown = { $type: 'blob', ref: { $link: blob.ref.toString().slice(0, -4) + '2222' }, mimeType: 'image/png', size: 9 }
    const { error } = await repo.createRecord({ repo: did, collection: POSTS, record: image(unknown) }).then(
      () => assert.fail('a blob that nobody uploaded was accepted'),
      (refusal) => refusal,
    )
    assert.ok(['BlobNotFound', 'InvalidRequest'].includes(error), error)
  })

  await test('a blob is served once a record names it, with headers that make it harmless', async () => {
    uri = (await agent.post(image(blob))).uri
    const got = await sync.getBlob({ did, cid: blob.ref.toString() })
    assert.deepEqual(Buffer.from(got.data), bytes)
    assert.equal(got.headers['content-type'], 'image/png')
    assert.equal(got.headers['content-length'], String(bytes.length))
    assert.equal(got.headers['x-content-type-options'], 'nosniff')
    assert.equal(got.headers['content-security-policy'], "default-src 'none'; sandbox")
    assert.match(got.headers['content-disposition'], new RegExp(`^attachment; filename="${blob.ref}"$`))
  })

  await test('the type is what the bytes are, not what the client says', async () => {
    const { data } = await agent.uploadBlob(picture(), { encoding: 'text/plain' })
    assert.equal(data.blob.mimeType, 'image/png')
  })

  await test('a picture field takes no text', async () => {
    const { data } = await agent.uploadBlob(Buffer.from(`words ${did}`), { encoding: 'text/plain' })
    await fails(agent.post(image(data.blob)), { status: 400, error: 'InvalidRequest' })
  })

  await test('listBlobs pages through all, once each, and since a revision', async () => {
    const before = (await sync.getLatestCommit({ did })).data.rev
    const more = []
    for (let i = 0; i < 4; i++) {
      const { data } = await agent.uploadBlob(Buffer.from(`text ${i} of ${did}`), { encoding: 'text/plain' })
      await repo.createRecord({ repo: did, collection: THINGS, record: { $type: THINGS, blob: data.blob } })
      more.push(data.blob.ref.toString())
    }
    const every = [...more, blob.ref.toString()].sort()
    const seen = []
    let cursor
    do {
      const { data } = await sync.listBlobs({ did, limit: 2, cursor })
      seen.push(...data.cids)
      cursor = data.cursor
    } while (cursor)
    // In which order is the server's affair: as text or as bytes.
    assert.deepEqual(seen.toSorted(), every)
    assert.deepEqual((await sync.listBlobs({ did, since: before })).data.cids.toSorted(), more.toSorted())
  })

  await test('a blob goes when the last record that names it goes', async () => {
    const second = await agent.post(image(blob))
    await agent.deletePost(uri)
    assert.equal((await sync.getBlob({ did, cid: blob.ref.toString() })).data.length, bytes.length)
    await agent.deletePost(second.uri)
    await isMissing(sync.getBlob({ did, cid: blob.ref.toString() }))
  })

  await test('an upload above the server\'s limit is refused', async () => {
    const { data } = await agent.com.atproto.server.describeServer()
    const limit = data.blobUploadLimit ?? 5 * 1024 * 1024
    await fails(agent.uploadBlob(Buffer.alloc(limit + 1), { encoding: 'application/octet-stream' }), {
      status: 413,
      error: 'PayloadTooLarge',
    })
  })
}
