// Makes plc.json, the truth that tests/plc.rs is held against, with the reference library of did:plc.
//
//   mkdir /tmp/vectors && cp plc.mjs /tmp/vectors && cd /tmp/vectors
//   npm install @did-plc/lib@0.0.4 && node plc.mjs > plc.json
//
// Keys are fixed and signatures deterministic (RFC 6979), so that the file is the same each time. Every log is put to
// the library too: `valid` says what it answered. Where this project is stricter on purpose, `stricter` says why.
import { createRequire } from 'node:module'
const require = createRequire(import.meta.url)
const plc = require('@did-plc/lib')
const { Secp256k1Keypair } = require('@atproto/crypto')
const { cidForCbor } = require('@atproto/common')
const cbor = require('@ipld/dag-cbor')

const HOUR = 60 * 60 * 1000
const START = Date.UTC(2026, 0, 1)
const secrets = { server: '11'.repeat(32), recovery: '22'.repeat(32), stranger: '33'.repeat(32), repo: '44'.repeat(32), repo2: '55'.repeat(32) }
const key = {}
for (const [name, secret] of Object.entries(secrets)) key[name] = await Secp256k1Keypair.import(secret)
const keys = Object.fromEntries(Object.entries(secrets).map(([name, secret]) => [name, { secret, did: key[name].did() }]))

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const describe = async (op) => {
  const { sig, ...unsigned } = op
  return { op, unsigned_cbor: hex(cbor.encode(unsigned)), cid: (await cidForCbor(op)).toString() }
}

// Operations as an account's life makes them.
const pds = 'https://pds.example'
const created = await plc.createOp({ signingKey: key.repo.did(), handle: 'alice.test', pds, rotationKeys: [key.server.did()], signer: key.server })
const recoverable = await plc.createOp({ signingKey: key.repo.did(), handle: 'alice.test', pds, rotationKeys: [key.recovery.did(), key.server.did()], signer: key.server })
const handle = await plc.updateHandleOp(created.op, key.server, 'alice.example.com')
const moved = await plc.updatePdsOp(handle, key.server, 'https://other.example')
const rekeyed = await plc.updateAtprotoKeyOp(moved, key.server, key.repo2.did())
const rotated = await plc.updateRotationKeysOp(rekeyed, key.server, [key.recovery.did()])
const dead = await plc.tombstoneOp(await cidForCbor(created.op), key.server)
const legacy = await plc.deprecatedSignCreate(
  { type: 'create', signingKey: key.server.did(), recoveryKey: key.recovery.did(), handle: 'old.test', service: pds, prev: null }, key.server)
const legacyDid = await plc.didForCreateOp(legacy)
const legacyUpdate = await plc.updateHandleOp(legacy, key.recovery, 'new.test')

const operations = {
  created: { did: created.did, ...(await describe(created.op)) },
  recoverable: { did: recoverable.did, ...(await describe(recoverable.op)) },
  handle: await describe(handle), moved: await describe(moved), rekeyed: await describe(rekeyed),
  rotated: await describe(rotated), dead: await describe(dead),
  legacy: { did: legacyDid, ...(await describe(legacy)) }, legacyUpdate: await describe(legacyUpdate),
}

// Logs, good and bad.
const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n
const bytesOf = (op) => Buffer.from(op.sig, 'base64url')
const highS = (op) => {
  const sig = bytesOf(op)
  const s = ORDER - BigInt('0x' + hex(sig.subarray(32)))
  return { ...op, sig: Buffer.concat([sig.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]).toString('base64url') }
}
const der = (op) => {
  const int = (half) => { const b = half[0] & 0x80 ? Buffer.concat([Buffer.from([0]), half]) : half; return Buffer.concat([Buffer.from([2, b.length]), b]) }
  const sig = bytesOf(op)
  const body = Buffer.concat([int(sig.subarray(0, 32)), int(sig.subarray(32))])
  return { ...op, sig: Buffer.concat([Buffer.from([0x30, body.length]), body]).toString('base64url') }
}
const trailingBits = (op) => {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  return { ...op, sig: op.sig.slice(0, -1) + alphabet[alphabet.indexOf(op.sig.at(-1)) + 1] }
}
const forged = await plc.updateHandleOp(created.op, key.stranger, 'mallory.test')
const afterRotation = await plc.updateHandleOp(rotated, key.server, 'late.test')
const afterDeath = await plc.addSignature(
  { ...plc.formatAtprotoOp({ signingKey: key.repo.did(), handle: 'risen.test', pds, rotationKeys: [key.server.did()], prev: await cidForCbor(dead) }) }, key.server)
const strangerGenesis = await plc.createOp({ signingKey: key.repo.did(), handle: 'alice.test', pds, rotationKeys: [key.server.did()], signer: key.stranger })
const orphan = await plc.atprotoOp({ signingKey: key.repo.did(), handle: 'alice.test', pds, rotationKeys: [key.server.did()], prev: await cidForCbor(handle), signer: key.server })
// A genesis whose hash covers a malleated signature: the DID is right for it, only the signature is not.
const malleated = async (op) => ({ did: await plc.didForCreateOp(op), log: [op] })

const candidates = [
  { name: 'a genesis alone', did: created.did, log: [created.op] },
  { name: 'a genesis signed by the second of two rotation keys', did: recoverable.did, log: [recoverable.op] },
  { name: 'handle, host, signing key and rotation keys change', did: created.did, log: [created.op, handle, moved, rekeyed, rotated] },
  { name: 'a tombstone at the end', did: created.did, log: [created.op, dead] },
  { name: 'a legacy genesis alone', did: legacyDid, log: [legacy] },
  { name: 'a legacy genesis and an update', did: legacyDid, log: [legacy, legacyUpdate] },
  { name: 'the log of another DID', did: recoverable.did, log: [created.op] },
  { name: 'a genesis signed by a key it does not name', did: strangerGenesis.did, log: [strangerGenesis.op] },
  { name: 'a genesis that follows something', did: await plc.didForCreateOp(orphan), log: [orphan] },
  { name: 'an update signed by a stranger', did: created.did, log: [created.op, forged] },
  { name: 'an update signed by a rotation key that was removed', did: created.did, log: [created.op, handle, moved, rekeyed, rotated, afterRotation] },
  { name: 'updates out of order', did: created.did, log: [created.op, moved, handle] },
  { name: 'an update left out', did: created.did, log: [created.op, moved] },
  { name: 'an update twice', did: created.did, log: [created.op, handle, handle] },
  { name: 'an update after a tombstone', did: created.did, log: [created.op, dead, afterDeath] },
  { name: 'a tombstone alone', did: created.did, log: [dead] },
  { name: 'a legacy genesis in the place of an update', did: created.did, log: [created.op, legacy] },
  { name: 'a changed field', did: created.did, log: [created.op, { ...handle, alsoKnownAs: ['at://mallory.test'] }] },
  { name: 'a field that does not belong', did: created.did, log: [created.op, { ...handle, extra: true }] },
  { name: 'a high S in an update', did: created.did, log: [created.op, highS(handle)] },
  { name: 'a high S in a genesis', ...(await malleated(highS(created.op))) },
  { name: 'a signature in DER', did: created.did, log: [created.op, der(handle)], stricter: 'published later as invalid' },
  { name: 'padding in a signature', did: created.did, log: [created.op, { ...handle, sig: handle.sig + '==' }], stricter: 'published later as invalid' },
  { name: 'padding in the signature of a genesis', ...(await malleated({ ...created.op, sig: created.op.sig + '==' })), stricter: 'published later as invalid' },
  { name: 'trailing bits in a signature', did: created.did, log: [created.op, trailingBits(handle)], stricter: 'published later as invalid' },
  { name: 'a line break in a signature', did: created.did, log: [created.op, { ...handle, sig: handle.sig + '\n' }], stricter: 'published later as invalid' },
  { name: 'an empty log', did: created.did, log: [] },
]
const logs = []
for (const candidate of candidates) {
  let valid = true
  let data = null
  try { data = await plc.validateOperationLog(candidate.did, candidate.log) } catch { valid = false }
  if (!valid) delete candidate.stricter
  logs.push({ ...candidate, valid, data })
}

// Audit logs: entries with times, forks and nullified operations.
const audit = async (name, did, steps) => {
  const entries = []
  let valid = true
  for (const [hours, operation] of steps) {
    Date.now = () => START + hours * HOUR
    try {
      const live = entries.filter((entry) => !entry.nullified)
      const { nullified } = await plc.assureValidNextOp(did, live, operation)
      for (const entry of entries) if (nullified.some((cid) => cid.equals(entry.cid))) entry.nullified = true
    } catch { valid = false }
    entries.push({ did, operation, cid: await cidForCbor(operation), nullified: false, createdAt: new Date(START + hours * HOUR) })
  }
  return { name, did, valid, entries: entries.map((e) => ({ ...e, cid: e.cid.toString(), createdAt: e.createdAt.toISOString() })) }
}
const base = recoverable.op
const stolen = await plc.updateHandleOp(base, key.server, 'mallory.test')
const stolen2 = await plc.updateHandleOp(stolen, key.server, 'mallory2.test')
const regained = await plc.updateHandleOp(base, key.recovery, 'alice2.test')
const weaker = await plc.updateHandleOp(base, key.server, 'weaker.test')
const byRecovery = await plc.updateHandleOp(base, key.recovery, 'owner.test')
const killed = await plc.tombstoneOp(await cidForCbor(base), key.server)
const onNullified = await plc.updateHandleOp(stolen, key.server, 'lost.test')
const next = await plc.updateHandleOp(regained, key.server, 'alice3.test')
const audits = [
  await audit('no fork', recoverable.did, [[0, base], [1, stolen], [2, stolen2]]),
  await audit('a stronger key forks within 72 hours', recoverable.did, [[0, base], [1, stolen], [2, stolen2], [72, regained]]),
  await audit('a stronger key forks at exactly 72 hours', recoverable.did, [[0, base], [1, stolen], [73, regained]]),
  await audit('a stronger key undoes a tombstone', recoverable.did, [[0, base], [1, killed], [2, regained]]),
  await audit('life goes on after a fork', recoverable.did, [[0, base], [1, stolen], [2, regained], [3, next]]),
  await audit('a stronger key forks too late', recoverable.did, [[0, base], [1, stolen], [73.001, regained]]),
  await audit('the same key forks', recoverable.did, [[0, base], [1, stolen], [2, weaker]]),
  await audit('a weaker key forks', recoverable.did, [[0, base], [1, byRecovery], [2, stolen]]),
  await audit('an update of a nullified operation', recoverable.did, [[0, base], [1, stolen], [2, regained], [3, onNullified]]),
]

// The document as a server of this age renders it: with the key types of before Multikey.
const document = plc.formatDidDoc({ did: created.did, ...created.op })

console.log(JSON.stringify({ comment: 'Made by plc.mjs with @did-plc/lib 0.0.4; do not edit.', keys, operations, logs, audits, document }, null, 1))
