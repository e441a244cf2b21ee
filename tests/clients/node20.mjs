// The newest @atproto/identity (below @atproto/sync) loads an undici that asks Node 22 for two
// functions while it is being loaded and never calls them here. On Node 20 they are put in place;
// the client itself stays unmodified. On Node 22 and later this file does nothing.

import { syncBuiltinESMExports } from 'node:module'
import workers from 'node:worker_threads'
import zlib from 'node:zlib'

zlib.createZstdDecompress ??= () => {
  throw new Error('zstd needs Node 22')
}
workers.markAsUncloneable ??= () => {}
syncBuiltinESMExports()
