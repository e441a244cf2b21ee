// The firehose frame by frame, over a bare WebSocket: exact shapes, order, chain, inversion,
// cursors, resume. Trees are checked with @atproto/repo.

import assert from 'node:assert/strict'
import { CID } from 'multiformats/cid'
import { MST, MemoryBlockstore, def, readCarWithRoot } from '@atproto/repo'
import { fromBytes } from '@atcute/cbor'
import { post, settle } from '../lib/people.mjs'
import { Tap } from '../lib/subscription.mjs'

const POSTS = 'app.bsky.feed.post'
const THINGS = 'com.example.thing'
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

export default async function firehose(runner, { url }) {
  await runner.suite('firehose frames', (test) => frames(test, url))
  await runner.suite('firehose cursors', (test) => cursors(test, url))
}

/** The most that a refused reader may be kept waiting for the end of its socket. */
const CLOSE_MS = 3_000
const soon = (closed) =>
  Promise.race([
    closed,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`not closed within ${CLOSE_MS} ms`)), CLOSE_MS).unref()),
  ])
const link = (value) => (value === null || value === undefined ? value : value.$link)
const record = (account, rkey, value) => ({ repo: account.did, collection: THINGS, rkey, record: { $type: THINGS, value } })

async function frames(test, url) {
  const tap = await Tap.open(url)
  const alice = await settle(url, 'fh')
  const { did } = alice
  const write = (nsid, body) => alice.post(`com.atproto.repo.${nsid}`, body)
  const last = () => tap.about(did).at(-1).body

  await test('a new account is announced: identity, account, commit, sync', async () => {
    await tap.until(() => tap.about(did).length >= 4, 'four events')
    const [identity, account, commit, sync] = tap.about(did)
    assert.deepEqual(tap.about(did).map(({ header }) => header), ['#identity', '#account', '#commit', '#sync'].map((t) => ({ op: 1, t })))
    const { seq, time } = identity.body
    assert.deepEqual(identity.body, { did, seq, time, handle: alice.handle })
    assert.deepEqual(account.body, { did, seq: account.body.seq, time: account.body.time, active: true })
    assert.deepEqual(commit.body.ops, [])
    assert.equal(commit.body.since, null)
    assert.equal(commit.body.prevData ?? null, null)
    assert.deepEqual(Object.keys(sync.body).sort(), ['blocks', 'did', 'rev', 'seq', 'time'])
    const { root, blocks } = await readCarWithRoot(fromBytes(sync.body.blocks))
    assert.deepEqual(blocks.cids().map(String), [root.toString()])
    assert.equal(root.toString(), link(commit.body.commit))
    assert.equal(sync.body.rev, commit.body.rev)
  })

  let first
  await test('a create: a commit of exactly these fields', async () => {
    first = await write('createRecord', record(alice, 'a', 1))
    await tap.untilRev(did, first.commit.rev)
    const body = last()
    const { prevData, blocks, seq, time, ...rest } = body
    const empty = tap.about(did).find(({ header }) => header.t === '#commit').body
    assert.deepEqual(JSON.parse(JSON.stringify(rest)), {
      repo: did,
      rev: first.commit.rev,
      since: empty.rev,
      commit: { $link: first.commit.cid },
      rebase: false,
      tooBig: false,
      blobs: [],
      ops: [{ action: 'create', path: `${THINGS}/a`, cid: { $link: first.cid } }],
    })
    assert.match(time, TIME)
    assert.ok(Number.isSafeInteger(seq) && blocks && link(prevData))
  })

  await test('an update and a delete name what was there before', async () => {
    const changed = await write('putRecord', record(alice, 'a', 2))
    await tap.untilRev(did, changed.commit.rev)
    assert.deepEqual(JSON.parse(JSON.stringify(last().ops)), [
      { action: 'update', path: `${THINGS}/a`, cid: { $link: changed.cid }, prev: { $link: first.cid } },
    ])
    const gone = await write('deleteRecord', { repo: did, collection: THINGS, rkey: 'a' })
    await tap.untilRev(did, gone.commit.rev)
    assert.deepEqual(JSON.parse(JSON.stringify(last().ops)), [
      { action: 'delete', path: `${THINGS}/a`, cid: null, prev: { $link: changed.cid } },
    ])
  })

  await test('what changes nothing is not announced', async () => {
    const made = await write('putRecord', record(alice, 'still', 1))
    await write('putRecord', record(alice, 'still', 1))
    await write('deleteRecord', { repo: did, collection: THINGS, rkey: 'never-there' })
    const marker = await write('createRecord', record(alice, 'marker', 1))
    await tap.untilRev(did, marker.commit.rev)
    assert.equal(last().since, made.commit.rev)
  })

  await test('a batch of 200 is one event with its operations in order', async () => {
    const writes = Array.from({ length: 200 }, (_, i) => ({
      $type: 'com.atproto.repo.applyWrites#create',
      collection: 'com.example.batch',
      rkey: `k${i}`,
      value: { $type: 'com.example.batch', i },
    }))
    const { commit, results } = await write('applyWrites', { repo: did, writes })
    await tap.untilRev(did, commit.rev)
    assert.deepEqual(
      last().ops.map(({ action, path, cid }) => ({ action, path, cid: link(cid) })),
      results.map(({ cid }, i) => ({ action: 'create', path: `com.example.batch/k${i}`, cid })),
    )
  })

  await test('a mixed batch', async () => {
    const value = (i) => ({ $type: 'com.example.batch', i })
    const kind = (name) => `com.atproto.repo.applyWrites#${name}`
    const { commit } = await write('applyWrites', {
      repo: did,
      writes: [
        ...[3, 77, 150].map((i) => ({ $type: kind('delete'), collection: 'com.example.batch', rkey: `k${i}` })),
        ...[4, 78, 151].map((i) => ({ $type: kind('update'), collection: 'com.example.batch', rkey: `k${i}`, value: value(-i) })),
        ...[201, 202].map((i) => ({ $type: kind('create'), collection: 'com.example.batch', rkey: `k${i}`, value: value(i) })),
        { $type: kind('create'), collection: POSTS, rkey: '3kabcdefghi2a', value: post('mixed') },
      ],
    })
    await tap.untilRev(did, commit.rev)
    assert.equal(last().ops.filter(({ prev }) => prev).length, 6)
    assert.equal(last().ops.filter(({ cid }) => cid === null).length, 3)
  })

  await test('every commit carries its blocks, links to the one before, and can be inverted', async () => {
    const commits = tap.about(did).filter(({ header }) => header.t === '#commit').map(({ body }) => body)
    assert.ok(commits.length >= 7)
    let before
    for (const body of commits) {
      before = await checkCommit(body, before)
    }
  })

  await test('sequence numbers only go up', () => {
    const seqs = tap.messages.map(({ body }) => body.seq)
    assert.ok(seqs.every((seq, i) => i === 0 || seq > seqs[i - 1]))
  })

  await test('every subscriber gets the same bytes, also from the store', async () => {
    const from = tap.about(did)[0].body.seq
    const replay = await Tap.open(url, { cursor: from - 1 })
    await replay.untilRev(did, last().rev)
    const bytes = (one) => one.about(did).map((frame) => Buffer.from(frame.bytes).toString('hex'))
    assert.deepEqual(bytes(replay), bytes(tap))
    await replay.close()
  })

  await test('what a client says is ignored', async () => {
    tap.socket.send('hello')
    tap.socket.send(Buffer.from([1, 2, 3]))
    const { commit } = await write('createRecord', record(alice, 'after-noise', 1))
    await tap.untilRev(did, commit.rev)
  })

  await test('a ping is answered', async () => {
    const pong = new Promise((resolve, reject) => {
      tap.socket.once('pong', resolve)
      setTimeout(() => reject(new Error('no pong')), 5000).unref()
    })
    tap.socket.ping('here')
    assert.equal(String(await pong), 'here')
  })
  await tap.close()
}

/** One #commit against sync 1.1; `before` is what the last one left: `{rev, data}`. */
async function checkCommit(body, before) {
  const car = fromBytes(body.blocks)
  assert.ok(car.length <= 2_000_000)
  const { root, blocks } = await readCarWithRoot(car)
  assert.equal(root.toString(), link(body.commit))
  const store = new MemoryBlockstore(blocks)
  const commit = await store.readObj(root, def.commit)
  assert.equal(commit.did, body.repo)
  assert.equal(commit.rev, body.rev)
  for (const op of body.ops) {
    if (op.cid) assert.ok(blocks.has(CID.parse(link(op.cid))), `${op.path}: its record is in the blocks`)
  }
  if (before) {
    assert.equal(body.since, before.rev)
    assert.equal(link(body.prevData), before.data)
    assert.ok(body.rev > before.rev)
    let tree = MST.load(store, commit.data)
    for (const op of body.ops) {
      if (op.action === 'create') tree = await tree.delete(op.path)
      if (op.action === 'update') tree = await tree.update(op.path, CID.parse(link(op.prev)))
      if (op.action === 'delete') tree = await tree.add(op.path, CID.parse(link(op.prev)))
    }
    assert.equal((await tree.getPointer()).toString(), before.data, 'undoing the operations leads back to prevData')
  }
  return { rev: body.rev, data: commit.data.toString() }
}

async function cursors(test, url) {
  const alice = await settle(url, 'fc')
  const bob = await settle(url, 'fc')
  const write = (who, rkey, value = 1) => who.post('com.atproto.repo.createRecord', record(who, rkey, value))
  const mine = (tap) => tap.messages.filter(({ body }) => [alice.did, bob.did].includes(body.repo ?? body.did))
  const seqs = (tap) => mine(tap).map(({ body }) => body.seq)
  let all

  await test('cursor 0 is everything kept, in order, without repeats', async () => {
    for (let i = 0; i < 4; i++) await write(alice, `b${i}`)
    const last = [[alice, await write(alice, 'b4')], [bob, await write(bob, 'last')]]
    all = await Tap.open(url, { cursor: 0 })
    for (const [who, { commit }] of last) await all.untilRev(who.did, commit.rev)
    const every = all.messages.map(({ body }) => body.seq)
    assert.ok(every.every((seq, i) => i === 0 || seq > every[i - 1]))
    assert.deepEqual(
      all.about(alice.did).map(({ header }) => header.t),
      ['#identity', '#account', '#commit', '#sync', ...Array(5).fill('#commit')],
    )
  })

  await test('without a cursor there are only new events', async () => {
    const live = await Tap.open(url)
    const { commit } = await write(alice, 'live')
    await live.untilRev(alice.did, commit.rev)
    assert.deepEqual(live.about(alice.did).map(({ body }) => body.rev), [commit.rev])
    await all.untilRev(alice.did, commit.rev)
    await live.close()
  })

  await test('a cursor is the last one seen: the next event is the one after it', async () => {
    const known = seqs(all)
    for (const at of [0, 3, known.length - 2]) {
      const tap = await Tap.open(url, { cursor: known[at] })
      await tap.until(() => seqs(tap).length >= known.length - at - 1, 'the rest')
      assert.deepEqual(seqs(tap), known.slice(at + 1))
      await tap.close()
    }
  })

  await test('the newest seq as a cursor waits for what comes', async () => {
    const newest = all.messages.at(-1).body.seq
    const tap = await Tap.open(url, { cursor: newest })
    const { commit } = await write(bob, 'next')
    await tap.untilRev(bob.did, commit.rev)
    await all.untilRev(bob.did, commit.rev)
    assert.deepEqual(tap.messages[0].body.seq, all.messages.find(({ body }) => body.seq > newest).body.seq)
    await tap.close()
  })

  await test('no gap and no repeat where the replay meets the live stream', async () => {
    const start = seqs(all)[0] - 1
    const writers = [alice, bob].map(async (who, w) => {
      for (let i = 0; i < 30; i++) await write(who, `race-${w}-${i}`)
    })
    const taps = []
    for (let i = 0; i < 6; i++) {
      taps.push(await Tap.open(url, { cursor: start }))
      await write(alice, `between-${i}`)
    }
    await Promise.all(writers)
    for (const who of [alice, bob]) {
      const last = await write(who, 'race-over')
      for (const tap of [all, ...taps]) await tap.untilRev(who.did, last.commit.rev)
    }
    const wanted = seqs(all)
    for (const tap of taps) {
      assert.deepEqual(seqs(tap), wanted)
      await tap.close()
    }
  })

  await test('a reader that comes and goes sees each event once', async () => {
    let cursor = all.messages.at(-1).body.seq
    const seen = []
    for (let round = 0; round < 5; round++) {
      const { commit } = await write(alice, `round-${round}`)
      const tap = await Tap.open(url, { cursor })
      await tap.untilRev(alice.did, commit.rev)
      seen.push(...mine(tap).map(({ body }) => body.seq))
      cursor = tap.messages.at(-1).body.seq
      await tap.close()
      await write(bob, `away-${round}`)
    }
    const tap = await Tap.open(url, { cursor })
    const { commit } = await write(bob, 'home')
    await tap.untilRev(bob.did, commit.rev)
    await all.untilRev(bob.did, commit.rev)
    seen.push(...seqs(tap))
    assert.deepEqual(seen, seqs(all).slice(-seen.length))
    assert.equal(seen.length, 11)
    await tap.close()
  })

  await test('a cursor from the future is refused by name', async () => {
    const tap = await Tap.open(url, { cursor: all.messages.at(-1).body.seq + 1_000_000 })
    const { code, reason } = await soon(tap.closed)
    assert.deepEqual(tap.frames.map(({ header, body }) => ({ header, body })), [
      { header: { op: -1 }, body: { error: 'FutureCursor', message: 'Cursor in the future.' } },
    ])
    assert.deepEqual({ code, reason }, { code: 1008, reason: 'FutureCursor' })
  })

  await test('a reader that closes is answered', async () => {
    const tap = await Tap.open(url)
    tap.socket.close(1000, 'enough')
    const { code } = await soon(tap.closed)
    assert.equal(code, 1000)
  })

  await test('a cursor that is no number is refused', async () => {
    const tap = await Tap.open(url, { cursor: 'abc' })
    const { code } = await soon(tap.closed)
    assert.deepEqual(tap.frames.map(({ header }) => header), [{ op: -1 }])
    assert.equal(tap.frames[0].body.error, 'InvalidRequest')
    assert.equal(code, 1008)
  })
  await all.close()
}
