// com.atproto.sync: exports, proofs, blocks, heads, hosts.

import { get } from './steps.mjs'

const NOBODY = 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa'
const ABSENT = 'bafyreigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi'
const POSTS = 'app.bsky.feed.post'
const NS = 'com.atproto.sync'

const alice = (changes) => (v) => ({ did: v.alice.did, ...(typeof changes === 'function' ? changes(v) : changes) })

export const sync = [
  get('getRepo', `${NS}.getRepo`, alice({}), { opaque: true }),
  get('getRepo: since the newest', `${NS}.getRepo`, alice({ since: '3zzzzzzzzzzzz' }), { opaque: true }),
  get('getRepo: since is not a TID', `${NS}.getRepo`, alice({ since: 'yesterday' }), { opaque: true }),
  get('getRepo: unknown', `${NS}.getRepo`, { did: NOBODY }, { exact: true }),
  get('getRepo: by handle', `${NS}.getRepo`, (v) => ({ did: v.alice.handle })),
  get('getRepo: missing', `${NS}.getRepo`, {}),

  get('sync.getRecord', `${NS}.getRecord`, alice({ collection: POSTS, rkey: '3kabcdefghi2b' }), { opaque: true }),
  get('sync.getRecord: proof of absence', `${NS}.getRecord`, alice({ collection: POSTS, rkey: '3kabcdefghi2z' }), { opaque: true }),
  get('sync.getRecord: unknown repo', `${NS}.getRecord`, { did: NOBODY, collection: POSTS, rkey: 'x' }),
  get('sync.getRecord: key missing', `${NS}.getRecord`, alice({ collection: POSTS })),

  get('getLatestCommit', `${NS}.getLatestCommit`, alice({}), { save: (v, a) => (v.head = a.json.cid) }),
  get('getLatestCommit: unknown', `${NS}.getLatestCommit`, { did: NOBODY }, { exact: true }),
  get('getRepoStatus', `${NS}.getRepoStatus`, alice({})),
  get('getRepoStatus: unknown', `${NS}.getRepoStatus`, { did: NOBODY }, { exact: true }),
  get('getRepoStatus: by handle', `${NS}.getRepoStatus`, (v) => ({ did: v.alice.handle })),

  get('getBlocks', `${NS}.getBlocks`, alice((v) => ({ cids: [v.head, v.hello.cid] })), { opaque: true }),
  get('getBlocks: one unknown', `${NS}.getBlocks`, alice((v) => ({ cids: [v.head, ABSENT] })), { exact: true }),
  get('getBlocks: none', `${NS}.getBlocks`, alice({})),
  get('getBlocks: not a CID', `${NS}.getBlocks`, alice({ cids: ['x'] })),
  get('getBlocks: unknown repo', `${NS}.getBlocks`, { did: NOBODY, cids: [ABSENT] }),

  get('listRepos', `${NS}.listRepos`, { limit: 1 }, { shape: true }),
  get('listRepos: limit too great', `${NS}.listRepos`, { limit: 1001 }),
  get('listRepos: bad cursor', `${NS}.listRepos`, { cursor: 'nonsense' }),
  get('subscribeRepos without an upgrade', `${NS}.subscribeRepos`, {}),
]
