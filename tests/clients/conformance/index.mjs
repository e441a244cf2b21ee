// The whole table, in the order in which it is sent: later steps use what earlier ones saved.

import { account } from './account.mjs'
import { identity } from './identity.mjs'
import { operator } from './operator.mjs'
import { protocol } from './protocol.mjs'
import { blobs, reads, writes } from './repo.mjs'
import { server } from './server.mjs'
import { sync } from './sync.mjs'

export const steps = [...server, ...account, ...writes, ...reads, ...blobs, ...sync, ...identity, ...operator, ...protocol]

const names = steps.map((step) => step.name)
const twice = names.find((name, i) => names.indexOf(name) !== i)
if (twice) throw new Error(`two steps are called '${twice}'`)
