// What the network says of a DID: its document from the PLC directory.

import { IdResolver } from '@atproto/identity'

/** A resolver over the local directory. Its `fetch` is plain, as the directory is on this machine. */
export const resolver = (plc) => new IdResolver({ plcUrl: plc, fetch: globalThis.fetch })

/** `{did, signingKey, handle, pds}` of a DID: `signingKey` is a did:key. */
export const identity = (plc, did) => resolver(plc).did.resolveAtprotoData(did)
