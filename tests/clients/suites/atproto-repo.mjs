// @atproto/repo: the exported repository and the proofs of single records, verified against the
// signing key that the PLC directory names.

import assert from 'node:assert/strict'
import {
  MemoryBlockstore,
  Repo,
  readCar,
  readCarWithRoot,
  verifyDiffCar,
  verifyProofs,
  verifyRecords,
  verifyRepoCar,
} from '@atproto/repo'
import { identity } from '../lib/keys.mjs'
import { post, settle } from '../lib/people.mjs'
import { failure } from '../lib/runner.mjs'

const POSTS = 'app.bsky.feed.post'
const THINGS = 'com.example.thing'
const NS = 'com.atproto.sync'

export default async function atprotoRepo(runner, { url, plc }) {
  await runner.suite('@atproto/repo exports and proofs', (test) => verify(test, url, plc))
}

async function verify(test, url, plc) {
  const alice = await settle(url, 'car')
  const { did } = alice
  const { signingKey: didKey, pds } = await identity(plc, did)
  const written = new Map()

  const create = async (collection, rkey, record) => {
    const answer = await alice.post('com.atproto.repo.createRecord', { repo: did, collection, rkey, record })
    written.set(`${collection}/${rkey}`, answer.cid)
    return answer
  }

  await test('a new account has an empty, signed repository', async () => {
    const { commit, creates } = await verifyRepoCar(await alice.get(`${NS}.getRepo`, { did }), did, didKey)
    assert.deepEqual(creates, [])
    assert.equal(commit.version ?? 3, 3)
  })

  await test('the directory names this server as the account\'s home', async () => {
    const about = await alice.get('com.atproto.server.describeServer')
    assert.match(about.did, /^did:web:/)
    assert.match(pds, /^https?:\/\//)
  })

  const first = await create(POSTS, '3kabcdefghi2a', post('first'))
  for (let i = 0; i < 5; i++) {
    const writes = Array.from({ length: 150 }, (_, j) => ({
      $type: 'com.atproto.repo.applyWrites#create',
      collection: i % 2 ? THINGS : `com.example.c${i}`,
      rkey: `k${i}-${j}`,
      value: { $type: i % 2 ? THINGS : `com.example.c${i}`, i, j, text: `${i} and ${j}` },
    }))
    const { results } = await alice.post('com.atproto.repo.applyWrites', { repo: did, writes })
    for (const { uri, cid } of results) written.set(uri.split('/').slice(3).join('/'), cid)
  }
  const put = await alice.post('com.atproto.repo.putRecord', { repo: did, collection: THINGS, rkey: 'k1-0', record: { $type: THINGS, changed: true } })
  written.set(`${THINGS}/k1-0`, put.cid)
  const gone = await alice.post('com.atproto.repo.deleteRecord', { repo: did, collection: THINGS, rkey: 'k1-1' })
  written.delete(`${THINGS}/k1-1`)
  const car = await alice.get(`${NS}.getRepo`, { did })

  await test('verifyRepoCar: signature, tree and every record', async () => {
    const { creates, commit } = await verifyRepoCar(car, did, didKey)
    const found = new Map(creates.map(({ collection, rkey, cid }) => [`${collection}/${rkey}`, cid.toString()]))
    assert.deepEqual(new Map([...found].sort()), new Map([...written].sort()))
    assert.equal(commit.cid.toString(), gone.commit.cid)
    assert.equal(commit.rev, gone.commit.rev)
  })

  await test('the export\'s root is the commit, and it has no block twice or too many', async () => {
    const { root, blocks } = await readCarWithRoot(car)
    assert.equal(root.toString(), gone.commit.cid)
    const repo = await Repo.load(new MemoryBlockstore(blocks), root)
    const needed = new Set([root.toString(), ...written.values()])
    for await (const node of repo.data.walk()) {
      if (node.isTree()) needed.add((await node.getPointer()).toString())
    }
    const present = blocks.cids().map(String)
    assert.deepEqual(present.toSorted(), [...needed].sort())
    assert.equal(carLength(car), present.length, 'each block is there once')
  })

  await test('the commit is version 3, without prev', async () => {
    const { root, blocks } = await readCarWithRoot(car)
    const repo = await Repo.load(new MemoryBlockstore(blocks), root)
    assert.equal(repo.commit.version, 3)
    assert.equal(repo.commit.prev, null)
    assert.equal(repo.commit.did, did)
    assert.deepEqual(Object.keys(repo.commit).sort(), ['data', 'did', 'prev', 'rev', 'sig', 'version'])
    assert.equal(repo.commit.sig.length, 64)
  })

  await test('another key or another DID does not verify', async () => {
    const other = await settle(url, 'car')
    const foreign = await identity(plc, other.did)
    assert.notEqual(foreign.signingKey, didKey, 'each account has its own signing key')
    await failure(verifyRepoCar(car, did, foreign.signingKey))
    await failure(verifyRepoCar(car, other.did, didKey))
  })

  await test('getRepo since a revision holds what changed, and applies to what one had', async () => {
    const before = await verifyRepoCar(car, did, didKey)
    assert.equal(before.commit.rev, gone.commit.rev)
    const had = await readCarWithRoot(car)
    const repo = await Repo.load(new MemoryBlockstore(had.blocks), had.root)
    await create(THINGS, 'later', { $type: THINGS, later: true })
    await create(POSTS, '3kabcdefghi2c', post('later still'))
    const diff = await alice.get(`${NS}.getRepo`, { did, since: gone.commit.rev })
    assert.ok(diff.length < car.length / 2, `${diff.length} bytes of ${car.length}`)
    const { writes, commit } = await verifyDiffCar(repo, diff, did, didKey)
    assert.deepEqual(
      writes.map(({ action, collection, rkey }) => `${action} ${collection}/${rkey}`).sort(),
      [`create ${POSTS}/3kabcdefghi2c`, `create ${THINGS}/later`],
    )
    assert.equal(commit.rev, (await alice.get(`${NS}.getLatestCommit`, { did })).rev)
  })

  await test('getRepo since the newest revision is a valid CAR', async () => {
    const { rev, cid } = await alice.get(`${NS}.getLatestCommit`, { did })
    const { roots } = await readCar(await alice.get(`${NS}.getRepo`, { did, since: rev }))
    assert.deepEqual(roots.map(String), [cid])
  })

  await test('getRecord proves that a record is there', async () => {
    const proof = await alice.get(`${NS}.getRecord`, { did, collection: POSTS, rkey: '3kabcdefghi2a' })
    const records = await verifyRecords(proof, did, didKey)
    assert.deepEqual(
      records.map(({ collection, rkey, record }) => ({ collection, rkey, text: record.text })),
      [{ collection: POSTS, rkey: '3kabcdefghi2a', text: 'first' }],
    )
    const claim = { collection: POSTS, rkey: '3kabcdefghi2a', cid: (await readCarWithRoot(proof)).blocks.cids().find((cid) => cid.toString() === first.cid) }
    const { verified, unverified } = await verifyProofs(proof, [claim], did, didKey)
    assert.equal(verified.length, 1)
    assert.equal(unverified.length, 0)
  })

  for (const [what, collection, rkey] of [
    ['a record between others', THINGS, 'k1-005'],
    ['a deleted record', THINGS, 'k1-1'],
    ['a record before all others', 'a.b.c', 'x'],
    ['a record after all others', 'zz.zz.zz', 'x'],
  ]) {
    await test(`getRecord proves that ${what} is not there`, async () => {
      const proof = await alice.get(`${NS}.getRecord`, { did, collection, rkey })
      const { verified, unverified } = await verifyProofs(proof, [{ collection, rkey, cid: null }], did, didKey)
      assert.equal(verified.length, 1)
      assert.equal(unverified.length, 0)
    })
  }

  await test('getRecord\'s proof does not vouch for another CID', async () => {
    const proof = await alice.get(`${NS}.getRecord`, { did, collection: POSTS, rkey: '3kabcdefghi2a' })
    const { root } = await readCarWithRoot(proof)
    const { verified, unverified } = await verifyProofs(proof, [{ collection: POSTS, rkey: '3kabcdefghi2a', cid: root }], did, didKey)
    assert.equal(verified.length, 0)
    assert.equal(unverified.length, 1)
  })

  await test('getBlocks gives the blocks asked for, without a root', async () => {
    const { cid } = await alice.get(`${NS}.getLatestCommit`, { did })
    const { roots, blocks } = await readCar(await alice.get(`${NS}.getBlocks`, { did, cids: [cid, first.cid] }))
    assert.deepEqual(roots, [])
    assert.deepEqual(blocks.cids().map(String).sort(), [cid, first.cid].sort())
  })

  await test('getLatestCommit and getRepoStatus agree with the export', async () => {
    const head = await alice.get(`${NS}.getLatestCommit`, { did })
    const { commit } = await verifyRepoCar(await alice.get(`${NS}.getRepo`, { did }), did, didKey)
    assert.deepEqual(head, { cid: commit.cid.toString(), rev: commit.rev })
    assert.deepEqual(await alice.get(`${NS}.getRepoStatus`, { did }), { did, active: true, rev: commit.rev })
  })

  await test('listRepos has every account once, with head and revision', async () => {
    const head = await alice.get(`${NS}.getLatestCommit`, { did })
    const seen = new Map()
    let cursor
    do {
      const page = await alice.get(`${NS}.listRepos`, { limit: 500, cursor })
      for (const repo of page.repos) {
        assert.ok(!seen.has(repo.did), `${repo.did} twice`)
        seen.set(repo.did, repo)
      }
      cursor = page.cursor
    } while (cursor)
    assert.deepEqual(seen.get(did), { did, head: head.cid, rev: head.rev, active: true })
  })

  await test('listRepos pages by one', async () => {
    const one = await alice.get(`${NS}.listRepos`, { limit: 1 })
    assert.equal(one.repos.length, 1)
    const two = await alice.get(`${NS}.listRepos`, { limit: 1, cursor: one.cursor })
    assert.equal(two.repos.length, 1)
    assert.notEqual(two.repos[0].did, one.repos[0].did)
  })

  await test('an emptied repository still verifies', async () => {
    const bob = await settle(url, 'car')
    const { uri } = await bob.post('com.atproto.repo.createRecord', { repo: bob.did, collection: POSTS, record: post('short') })
    await bob.post('com.atproto.repo.deleteRecord', { repo: bob.did, collection: POSTS, rkey: uri.split('/').at(-1) })
    const { creates } = await verifyRepoCar(await bob.get(`${NS}.getRepo`, { did: bob.did }), bob.did, (await identity(plc, bob.did)).signingKey)
    assert.deepEqual(creates, [])
  })

  await test('one CID under two keys stays when one of them goes', async () => {
    const bob = await settle(url, 'car')
    const record = { $type: THINGS, same: true }
    for (const rkey of ['a', 'b']) await bob.post('com.atproto.repo.createRecord', { repo: bob.did, collection: THINGS, rkey, record })
    await bob.post('com.atproto.repo.deleteRecord', { repo: bob.did, collection: THINGS, rkey: 'a' })
    const { creates } = await verifyRepoCar(await bob.get(`${NS}.getRepo`, { did: bob.did }), bob.did, (await identity(plc, bob.did)).signingKey)
    assert.deepEqual(creates.map(({ rkey }) => rkey), ['b'])
    assert.deepEqual((await bob.get('com.atproto.repo.getRecord', { repo: bob.did, collection: THINGS, rkey: 'b' })).value, record)
  })
}

/** How many blocks a CAR v1 holds, counted by its own lengths. */
function carLength(car) {
  let at = 0
  let sections = 0
  while (at < car.length) {
    let length = 0
    let shift = 0
    let byte
    do {
      byte = car[at++]
      length += (byte & 0x7f) * 2 ** shift
      shift += 7
    } while (byte & 0x80)
    at += length
    sections += 1
  }
  return sections - 1
}
