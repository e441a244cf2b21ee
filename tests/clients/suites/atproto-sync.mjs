// @atproto/sync: the verifying firehose consumer. It resolves each DID in the directory, checks
// signatures and proofs, and hands over records.

import assert from 'node:assert/strict'
import { Firehose, MemoryRunner } from '@atproto/sync'
import { resolver } from '../lib/keys.mjs'
import { post, settle } from '../lib/people.mjs'
import { Tap } from '../lib/subscription.mjs'

const POSTS = 'app.bsky.feed.post'
const THINGS = 'com.example.thing'
const WAIT_MS = 20_000

export default async function atprotoSync(runner, { url, plc }) {
  await runner.suite('@atproto/sync verifying consumer', (test) => consume(test, url, plc))
}

/** A consumer that keeps what it is handed: `events`, `errors`, `until(ready)`, `stop()`. */
function consumer(url, plc, options = {}) {
  const events = []
  const errors = []
  const checks = new Set()
  const firehose = new Firehose({
    service: url.replace(/^http/, 'ws'),
    idResolver: resolver(plc),
    unauthenticatedHandles: true, // handles under .test resolve nowhere
    handleEvent: (event) => {
      events.push(event)
      for (const check of checks) check()
    },
    onError: (error) => {
      errors.push(error)
      for (const check of checks) check()
    },
    ...options,
  })
  firehose.start()
  const until = (ready, what) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => done(new Error(`waited ${WAIT_MS} ms for ${what}; ${events.length} events came`)), WAIT_MS)
      const done = (error) => {
        clearTimeout(timer)
        checks.delete(check)
        if (error) reject(error)
        else resolve()
      }
      const check = () => {
        if (errors.length > 0) done(errors[0])
        else if (ready(events)) done()
      }
      checks.add(check)
      check()
    })
  return { events, errors, until, stop: () => firehose.destroy() }
}

/** The newest sequence number there is. */
async function newest(url) {
  const tap = await Tap.open(url)
  const { did, handle } = await settle(url, 'mark')
  await tap.until(() => tap.about(did).some(({ header }) => header.t === '#sync'), `the arrival of ${handle}`)
  await tap.close()
  return tap.about(did).at(-1).body.seq
}

async function consume(test, url, plc) {
  const start = await newest(url)
  const alice = await settle(url, 'sync')
  const bob = await settle(url, 'sync')
  const write = (who, nsid, body) => who.post(`com.atproto.repo.${nsid}`, { repo: who.did, ...body })
  const mine = (events) => events.filter(({ did }) => [alice.did, bob.did].includes(did))
  const sees = (rkey, event = 'create') => (events) => events.some((one) => one.rkey === rkey && one.event === event)
  let live

  await test('accounts arrive with their documents', async () => {
    live = consumer(url, plc, { getCursor: () => start })
    await live.until((events) => mine(events).filter(({ event }) => event === 'sync').length === 2, 'both accounts')
    const [identity, account, sync] = live.events.filter(({ did }) => did === alice.did)
    assert.equal(identity.event, 'identity')
    assert.equal(identity.didDocument.id, alice.did)
    assert.deepEqual({ event: account.event, active: account.active, status: account.status }, { event: 'account', active: true, status: undefined })
    assert.equal(sync.event, 'sync')
    assert.equal(sync.blocks.size, 1)
  })

  await test('verified creates, updates and deletes, with their records', async () => {
    const made = await write(alice, 'createRecord', { collection: POSTS, rkey: '3kabcdefghi2a', record: post('seen') })
    const changed = await write(alice, 'putRecord', { collection: POSTS, rkey: '3kabcdefghi2a', record: post('seen anew') })
    await write(alice, 'deleteRecord', { collection: POSTS, rkey: '3kabcdefghi2a' })
    await live.until(sees('3kabcdefghi2a', 'delete'), 'the delete')
    const [create, update, remove] = live.events.filter(({ rkey }) => rkey === '3kabcdefghi2a')
    assert.deepEqual([create.event, update.event, remove.event], ['create', 'update', 'delete'])
    assert.equal(create.record.text, 'seen')
    assert.equal(create.cid.toString(), made.cid)
    assert.equal(update.cid.toString(), changed.cid)
    assert.equal(update.rev, changed.commit.rev)
    assert.equal(remove.uri.toString(), made.uri)
  })

  await test('every operation of a batch of 200 verifies', async () => {
    const writes = Array.from({ length: 200 }, (_, i) => ({
      $type: 'com.atproto.repo.applyWrites#create',
      collection: THINGS,
      rkey: `k${i}`,
      value: { $type: THINGS, i },
    }))
    await write(alice, 'applyWrites', { writes })
    await live.until(sees('k199'), 'the batch')
    const batch = live.events.filter(({ did, collection }) => did === alice.did && collection === THINGS)
    assert.deepEqual(batch.map(({ record }) => record.i), [...Array(200).keys()])
    const half = writes.slice(0, 100).map(({ collection, rkey }) => ({ $type: 'com.atproto.repo.applyWrites#delete', collection, rkey }))
    await write(alice, 'applyWrites', { writes: half })
    await live.until(sees('k99', 'delete'), 'the deletes')
    assert.equal(live.events.filter(({ did, event }) => did === alice.did && event === 'delete').length, 101)
  })

  await test('each account\'s writes come in their order', async () => {
    for (let i = 0; i < 10; i++) {
      await write(i % 2 ? alice : bob, 'createRecord', { collection: 'com.example.turn', rkey: `t${i}`, record: { $type: 'com.example.turn', i } })
    }
    await live.until((events) => sees('t8')(events) && sees('t9')(events), 'the last turns')
    for (const [who, turns] of [[bob, [0, 2, 4, 6, 8]], [alice, [1, 3, 5, 7, 9]]]) {
      assert.deepEqual(
        live.events.filter(({ did, collection }) => did === who.did && collection === 'com.example.turn').map(({ record }) => record.i),
        turns,
      )
    }
  })

  await test('stopped and resumed from its cursor: no gap, no repeat', async () => {
    const cursor = live.events.at(-1).seq
    await live.stop()
    assert.deepEqual(live.errors, [])
    for (let i = 0; i < 5; i++) await write(bob, 'createRecord', { collection: THINGS, rkey: `away${i}`, record: { $type: THINGS, i } })
    const again = consumer(url, plc, { getCursor: () => cursor })
    await again.until(sees('away4'), 'what was missed')
    for (let i = 0; i < 3; i++) await write(bob, 'createRecord', { collection: THINGS, rkey: `back${i}`, record: { $type: THINGS, i } })
    await again.until(sees('back2'), 'what is new')
    assert.deepEqual(mine(again.events).map(({ rkey }) => rkey), ['away0', 'away1', 'away2', 'away3', 'away4', 'back0', 'back1', 'back2'])
    await again.stop()
    assert.deepEqual(again.errors, [])
  })

  await test('a runner over a filtered stream keeps its own cursor', async () => {
    let cursor
    const runner = new MemoryRunner({
      startCursor: start,
      setCursor: async (seq) => {
        cursor = seq
      },
    })
    const filtered = consumer(url, plc, { runner, filterCollections: ['com.example.turn'], excludeIdentity: true, excludeAccount: true, excludeSync: true })
    await filtered.until((events) => mine(events).length >= 10, 'ten turns')
    // A runner works on several accounts at once, but on each in order.
    for (const [who, keys] of [[bob, ['t0', 't2', 't4', 't6', 't8']], [alice, ['t1', 't3', 't5', 't7', 't9']]]) {
      assert.deepEqual(filtered.events.filter(({ did }) => did === who.did).map(({ rkey }) => rkey), keys)
    }
    await filtered.stop()
    await runner.processAll()
    await runner.destroy()
    assert.ok(cursor > start)
    assert.deepEqual(filtered.errors, [])
  })
}
