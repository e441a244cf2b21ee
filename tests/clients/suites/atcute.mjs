// @atcute: another family of clients, written from the specification by other people.

import assert from 'node:assert/strict'
import {
  ComAtprotoRepoApplyWrites,
  ComAtprotoRepoCreateRecord,
  ComAtprotoRepoListRecords,
  ComAtprotoServerCreateSession,
  ComAtprotoServerGetSession,
  ComAtprotoSyncGetRepoStatus,
  ComAtprotoSyncSubscribeRepos,
} from '@atcute/atproto'
import { fromUint8Array as readCar } from '@atcute/car'
import { fromBytes } from '@atcute/cbor'
import { Client, ok, simpleFetchHandler } from '@atcute/client'
import { P256PublicKey, Secp256k1PublicKey, parseDidKey } from '@atcute/crypto'
import { FirehoseSubscription } from '@atcute/firehose'
import { fromStream, fromUint8Array as readRepo, verifyRecord } from '@atcute/repo'
import WebSocket from 'ws'
import { identity } from '../lib/keys.mjs'
import { newcomer, picture, post, settle } from '../lib/people.mjs'
import { failure } from '../lib/runner.mjs'

const POSTS = 'app.bsky.feed.post'
const THINGS = 'com.example.thing'

export default async function atcute(runner, { url, plc }) {
  await runner.suite('@atcute client, repo, firehose', (test) => all(test, url, plc))
}

async function all(test, url, plc) {
  const who = newcomer('cute')
  const anyone = new Client({ handler: simpleFetchHandler({ service: url }) })
  let token
  const client = new Client({
    handler: (path, init) => {
      const headers = new Headers(init.headers)
      headers.set('authorization', `Bearer ${token}`)
      return fetch(new URL(path, url), { ...init, headers })
    },
  })
  let did

  await test('an account and its sessions, by typed calls that validate the answers', async () => {
    const made = await ok(anyone.post('com.atproto.server.createAccount', { input: who }))
    did = made.did
    const session = await ok(anyone.call(ComAtprotoServerCreateSession, { input: { identifier: who.handle, password: who.password } }))
    assert.equal(session.did, did)
    token = session.accessJwt
    assert.equal((await ok(client.call(ComAtprotoServerGetSession))).handle, who.handle)
    const refused = await anyone.call(ComAtprotoServerCreateSession, { input: { identifier: who.handle, password: 'no' } })
    assert.deepEqual({ ok: refused.ok, status: refused.status, data: refused.data }, {
      ok: false,
      status: 401,
      data: { error: 'AuthenticationRequired', message: 'Invalid identifier or password' },
    })
    const renewed = await ok(anyone.post('com.atproto.server.refreshSession', { headers: { authorization: `Bearer ${session.refreshJwt}` } }))
    assert.equal(renewed.did, did)
  })

  let cid
  await test('records and batches', async () => {
    const made = await ok(client.call(ComAtprotoRepoCreateRecord, { input: { repo: did, collection: POSTS, rkey: '3kabcdefghi2a', record: post('cute') } }))
    cid = made.cid
    assert.equal(made.validationStatus, 'valid')
    const { results } = await ok(
      client.call(ComAtprotoRepoApplyWrites, {
        input: {
          repo: did,
          writes: Array.from({ length: 30 }, (_, i) => ({
            $type: 'com.atproto.repo.applyWrites#create',
            collection: THINGS,
            rkey: `k${i}`,
            value: { $type: THINGS, i, link: { $link: cid }, bytes: { $bytes: 'AQID' } },
          })),
        },
      }),
    )
    assert.equal(results.length, 30)
    const { records } = await ok(anyone.call(ComAtprotoRepoListRecords, { params: { repo: did, collection: THINGS, limit: 100 } }))
    assert.equal(records.length, 30)
    const missing = await anyone.get('com.atproto.repo.getRecord', { params: { repo: did, collection: THINGS, rkey: 'no' } })
    assert.equal(missing.data.error, 'RecordNotFound')
  })

  await test('blobs, up and down', async () => {
    const bytes = picture()
    const { blob } = await ok(client.post('com.atproto.repo.uploadBlob', { input: new Blob([bytes], { type: 'image/png' }) }))
    await ok(client.post('com.atproto.repo.createRecord', { input: { repo: did, collection: THINGS, rkey: 'blob', record: { $type: THINGS, blob } } }))
    const back = await ok(anyone.get('com.atproto.sync.getBlob', { params: { did, cid: blob.ref.$link }, as: 'bytes' }))
    assert.deepEqual(Buffer.from(back), bytes)
  })

  await test('the exported repository reads whole, at once and streamed', async () => {
    const car = await ok(anyone.get('com.atproto.sync.getRepo', { params: { did }, as: 'bytes' }))
    const entries = [...readRepo(car)]
    assert.equal(entries.length, 32)
    const first = entries.find(({ rkey }) => rkey === '3kabcdefghi2a')
    assert.equal(first.cid.$link, cid)
    assert.equal(first.record.text, 'cute')
    assert.deepEqual(fromBytes(entries.find(({ rkey }) => rkey === 'k7').record.bytes), Uint8Array.of(1, 2, 3))
    const stream = await ok(anyone.get('com.atproto.sync.getRepo', { params: { did }, as: 'stream' }))
    const repo = fromStream(stream)
    const keys = []
    for await (const entry of repo) keys.push(`${entry.collection}/${entry.rkey}`)
    assert.deepEqual(keys.toSorted(), entries.map(({ collection, rkey }) => `${collection}/${rkey}`).sort())
    assert.deepEqual(repo.missingBlocks, [])
    await repo.dispose()
  })

  await test('a record\'s proof verifies with the account\'s key, and with no other', async () => {
    const { signingKey } = await identity(plc, did)
    const publicKey = await didKey(signingKey)
    const carBytes = await ok(anyone.get('com.atproto.sync.getRecord', { params: { did, collection: POSTS, rkey: '3kabcdefghi2a' }, as: 'bytes' }))
    const { cid: found, record } = await verifyRecord({ did, collection: POSTS, rkey: '3kabcdefghi2a', publicKey, carBytes })
    assert.equal(found, cid)
    assert.equal(record.text, 'cute')
    assert.ok([...readCar(carBytes)].length >= 3)
    await failure(verifyRecord({ did, collection: POSTS, rkey: '3kabcdefghi2b', publicKey, carBytes }))
    const other = await settle(url, 'cute')
    const wrong = await didKey((await identity(plc, other.did)).signingKey)
    await failure(verifyRecord({ did, collection: POSTS, rkey: '3kabcdefghi2a', publicKey: wrong, carBytes }))
  })

  await test('getRepoStatus, validated', async () => {
    const { active, rev } = await ok(anyone.call(ComAtprotoSyncGetRepoStatus, { params: { did } }))
    assert.equal(active, true)
    assert.ok(rev)
  })

  await test('the firehose, each message validated against the lexicon', async () => {
    const problems = []
    let opened
    const open = new Promise((resolve) => (opened = resolve))
    const subscription = new FirehoseSubscription({
      service: url.replace(/^http/, 'ws'),
      nsid: ComAtprotoSyncSubscribeRepos.mainSchema,
      onError: (error) => problems.push(error),
      onConnectionOpen: () => opened(),
      ws: { WebSocket },
    })
    const iterator = subscription[Symbol.asyncIterator]()
    const first = iterator.next()
    await open
    const bob = await settle(url, 'cute')
    await bob.post('com.atproto.repo.createRecord', { repo: bob.did, collection: POSTS, rkey: '3kabcdefghi2a', record: post('fire') })
    const seen = []
    for (let next = await first; ; next = await iterator.next()) {
      const message = next.value
      if ((message.repo ?? message.did) === bob.did) seen.push(message)
      if (message.ops?.some(({ path }) => path === `${POSTS}/3kabcdefghi2a`) && message.repo === bob.did) break
    }
    await iterator.return?.()
    assert.deepEqual(seen.map(({ $type }) => $type.split('#')[1]), ['identity', 'account', 'commit', 'sync', 'commit'])
    assert.deepEqual(problems, [])
  })
}

/** A verifying key from a did:key. */
function didKey(text) {
  const { type, publicKeyBytes } = parseDidKey(text)
  return type === 'p256' ? P256PublicKey.importRaw(publicKeyBytes) : Secp256k1PublicKey.importRaw(publicKeyBytes)
}
