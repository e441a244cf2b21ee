// An account moves from one PDS to another and back, as a client moves it: with @atproto/api, by the standard flow.
//
//   node migration/migration.mjs --reference URL --host URL --plc URL --admin-password X [--records 10000] [--blobs 100]
//
// It begins at --reference, whose operator's password is X. Where it needs a code that a server has mailed, it writes
// {"event":"code","at":"reference"|"host"} and reads it from its standard input. Exits with 1 when anything is lost.

import '../node20.mjs'
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { AtpAgent } from '@atproto/api'
import { readCarWithRoot, verifyRepo } from '@atproto/repo'
import { newcomer, picture } from '../lib/people.mjs'

const { values: options } = parseArgs({
  options: {
    reference: { type: 'string' },
    host: { type: 'string' },
    plc: { type: 'string' },
    'admin-password': { type: 'string' },
    records: { type: 'string', default: '10000' },
    blobs: { type: 'string', default: '100' },
  },
})
const RECORDS = Number(options.records)
const BLOBS = Number(options.blobs)
/** Writes of one batch (`com.atproto.repo.applyWrites`). */
const BATCH = 200
/** Blobs under way at a time. */
const LANES = 8
const CAR = 'application/vnd.ipld.car'

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const started = Date.now()
let lap = started

function say(what) {
  const now = Date.now()
  console.log(`# ${((now - lap) / 1000).toFixed(1)} s: ${what}`)
  lap = now
}

async function code(at) {
  console.log(JSON.stringify({ event: 'code', at }))
  const { value } = await lines.next()
  assert.ok(value, 'nobody answered with a code')
  return value.trim()
}

/** Does the work for each item, a few at a time. */
async function each(items, work) {
  const queue = items.values()
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (const item of queue) await work(item)
    }),
  )
}

/** The records of a repository, their blocks by path, after all of it was verified with the key that the DID names. */
async function repository(agent, did) {
  const { data } = await agent.com.atproto.sync.getRepo({ did })
  const { blocks, root } = await readCarWithRoot(data)
  const { creates } = await verifyRepo(blocks, root, did, await signingKey(did))
  return new Map(creates.map(({ collection, rkey, cid }) => [`${collection}/${rkey}`, Buffer.from(blocks.get(cid))]))
}

async function signingKey(did) {
  const answer = await fetch(`${options.plc}/${did}/data`)
  return (await answer.json()).verificationMethods.atproto
}

/** The bytes and types of all blobs, by CID. */
async function blobsOf(agent, did) {
  const found = new Map()
  let cursor
  do {
    const { data } = await agent.com.atproto.sync.listBlobs({ did, cursor, limit: 40 })
    await each(data.cids, async (cid) => {
      const { data: bytes, headers } = await agent.com.atproto.sync.getBlob({ did, cid })
      found.set(cid, { bytes: Buffer.from(bytes), type: headers['content-type'] })
    })
    cursor = data.cids.length > 0 ? data.cursor : undefined
  } while (cursor)
  return found
}

/** Fills a new account with posts, some of them with pictures, and with likes and notes. */
async function fill(agent, did) {
  const pictures = Array.from({ length: BLOBS })
  await each([...pictures.keys()], async (n) => {
    const { data } = await agent.com.atproto.repo.uploadBlob(picture(), { encoding: 'image/png' })
    pictures[n] = data.blob
  })
  const createdAt = '2026-11-23T04:00:00.000Z'
  const record = (n) => {
    if (n < BLOBS) {
      const images = [{ image: pictures[n], alt: `picture ${n}` }]
      const embed = { $type: 'app.bsky.embed.images', images }
      return { $type: 'app.bsky.feed.post', text: `a picture, number ${n}`, createdAt, embed }
    }
    if (n % 3 === 0) {
      const cid = 'bafyreidab7hj6pccsraxyuhtef2hr5o6ycb5g67arkxh7gpyu4vby2x2xi'
      const subject = { uri: `at://did:plc:44ybard66vv44zksje25o7dz/app.bsky.feed.post/${n}`, cid }
      return { $type: 'app.bsky.feed.like', subject, createdAt }
    }
    if (n % 3 === 1) return { $type: 'com.example.note', text: `note ${n}`, number: n, nothing: null, list: [1, 'a', {}] }
    return { $type: 'app.bsky.feed.post', text: `post ${n} \u{1f426}`, createdAt }
  }
  for (let first = 0; first < RECORDS; first += BATCH) {
    const writes = Array.from({ length: Math.min(BATCH, RECORDS - first) }, (_, n) => {
      const value = record(first + n)
      return { $type: 'com.atproto.repo.applyWrites#create', collection: value.$type, value }
    })
    await agent.com.atproto.repo.applyWrites({ repo: did, writes })
  }
  const preferences = [
    { $type: 'app.bsky.actor.defs#adultContentPref', enabled: true },
    { $type: 'app.bsky.actor.defs#interestsPref', tags: ['birds', 'flocks'] },
  ]
  await agent.app.bsky.actor.putPreferences({ preferences })
}

/** Moves an account. Gives the agent that is logged in at the new place. */
async function move(who, from, to) {
  const { did } = who
  const { data: server } = await to.agent.com.atproto.server.describeServer()
  const lxm = 'com.atproto.server.createAccount'
  const { data: auth } = await from.agent.com.atproto.server.getServiceAuth({ aud: server.did, lxm })
  const account = { did, handle: who.handle, email: who.email, password: who.password }
  await to.agent.com.atproto.server.createAccount(account, {
    headers: { authorization: `Bearer ${auth.token}` },
    encoding: 'application/json',
  })
  await to.agent.login({ identifier: did, password: who.password })
  const status = async (agent) => (await agent.com.atproto.server.checkAccountStatus()).data
  assert.equal((await status(to.agent)).activated, false)

  const { data: car } = await from.agent.com.atproto.sync.getRepo({ did })
  await to.agent.com.atproto.repo.importRepo(car, { encoding: CAR })
  say(`imported ${(car.length / 1e6).toFixed(1)} MB at ${to.name}`)
  const imported = await status(to.agent)
  assert.equal(imported.activated, false)
  assert.equal(imported.indexedRecords, who.records.size)
  assert.equal(imported.expectedBlobs, BLOBS)
  assert.equal(imported.importedBlobs, 0)

  let cursor
  let missing = 0
  do {
    const { data } = await to.agent.com.atproto.repo.listMissingBlobs({ limit: 30, cursor })
    await each(data.blobs, async ({ cid, recordUri }) => {
      assert.ok(recordUri.startsWith(`at://${did}/`))
      const { data: bytes, headers } = await from.agent.com.atproto.sync.getBlob({ did, cid })
      const { data: uploaded } = await to.agent.com.atproto.repo.uploadBlob(bytes, { encoding: headers['content-type'] })
      assert.equal(uploaded.blob.ref.toString(), cid)
    })
    missing += data.blobs.length
    cursor = data.blobs.length > 0 ? data.cursor : undefined
  } while (cursor)
  assert.equal(missing, BLOBS)
  assert.deepEqual((await to.agent.com.atproto.repo.listMissingBlobs()).data.blobs, [])
  say(`${missing} blobs`)

  const { data: preferences } = await from.agent.app.bsky.actor.getPreferences()
  await to.agent.app.bsky.actor.putPreferences(preferences)

  const { data: wanted } = await to.agent.com.atproto.identity.getRecommendedDidCredentials()
  await from.agent.com.atproto.identity.requestPlcOperationSignature()
  const token = await code(from.name)
  const { data: signed } = await from.agent.com.atproto.identity.signPlcOperation({ token, ...wanted })
  await to.agent.com.atproto.identity.submitPlcOperation({ operation: signed.operation })
  await to.agent.com.atproto.server.activateAccount()
  await from.agent.com.atproto.server.deactivateAccount({})
  const there = await status(to.agent)
  assert.deepEqual(
    [there.activated, there.validDid, there.indexedRecords, there.expectedBlobs, there.importedBlobs],
    [true, true, who.records.size, BLOBS, BLOBS],
  )
  const left = await status(from.agent)
  assert.deepEqual([left.activated, left.validDid], [false, false])
  await assert.rejects(
    new AtpAgent({ service: from.url }).com.atproto.sync.getRepo({ did }),
    (error) => error.error === 'RepoDeactivated',
  )
  say('identity and activation')
}

/** Sees that a place has everything, byte for byte, as it was at the beginning. */
async function compare(who, place) {
  const { did } = who
  // Written under the key that the DID names now: a server that keeps the commit of the old host has none before.
  const value = { $type: 'com.example.arrived', at: place.name }
  await place.agent.com.atproto.repo.createRecord({ repo: did, collection: value.$type, rkey: place.name, record: value })
  const anyone = new AtpAgent({ service: place.url })
  const records = await repository(anyone, did)
  const arrived = `${value.$type}/${place.name}`
  assert.ok(records.has(arrived))
  assert.equal(records.size, who.records.size + 1)
  for (const [path, block] of who.records) assert.ok(records.get(path)?.equals(block), path)
  who.records.set(arrived, records.get(arrived))

  const blobs = await blobsOf(anyone, did)
  assert.equal(blobs.size, who.blobs.size)
  for (const [cid, { bytes, type }] of who.blobs) {
    assert.ok(blobs.get(cid)?.bytes.equals(bytes), cid)
    assert.equal(blobs.get(cid).type, type)
  }
  const { data: preferences } = await place.agent.app.bsky.actor.getPreferences()
  assert.deepEqual(preferences, who.preferences)
  const { data: found } = await anyone.com.atproto.identity.resolveHandle({ handle: who.handle })
  assert.equal(found.did, did)
  if (place === host) {
    // No event has named this collection: its records came with the import.
    const { data: holders } = await anyone.com.atproto.sync.listReposByCollection({ collection: 'app.bsky.feed.like' })
    assert.ok(holders.repos.some((repo) => repo.did === did))
  }
  say(`${records.size} records and ${blobs.size} blobs are as they were, at ${place.name}`)
}

const reference = { name: 'reference', url: options.reference, agent: new AtpAgent({ service: options.reference }) }
const host = { name: 'host', url: options.host, agent: new AtpAgent({ service: options.host }) }

const who = newcomer('mover')
const { data: made } = await reference.agent.com.atproto.server.createAccount(who)
who.did = made.did
await reference.agent.login({ identifier: who.did, password: who.password })
await fill(reference.agent, who.did)
who.records = await repository(reference.agent, who.did)
who.blobs = await blobsOf(reference.agent, who.did)
who.preferences = (await reference.agent.app.bsky.actor.getPreferences()).data
assert.equal(who.records.size, RECORDS)
assert.equal(who.blobs.size, BLOBS)
say(`${RECORDS} records and ${BLOBS} blobs at the reference server`)

await move(who, reference, host)
await compare(who, host)

// The way back is to a server that knows nothing of it.
const basic = Buffer.from(`admin:${options['admin-password']}`).toString('base64')
await new AtpAgent({ service: options.reference }).com.atproto.admin.deleteAccount(
  { did: who.did },
  { headers: { authorization: `Basic ${basic}` }, encoding: 'application/json' },
)
reference.agent = new AtpAgent({ service: options.reference })
await move(who, host, reference)
await compare(who, reference)
console.log(`# there and back in ${((Date.now() - started) / 1000).toFixed(1)} s`)
process.exit(0)
