// Records the reference server's answers into ../reference-answers.json:
//
//   node conformance/record.mjs --url http://127.0.0.1:PORT --admin-password X
//
// The server is npm's @atproto/pds at the version named in README.md, started as described
// there. The table is sent three times; what differs between the runs is noted as `<varies>`.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { send } from '../lib/http.mjs'
import { ask, merge } from './answers.mjs'
import { steps } from './index.mjs'

const { values } = parseArgs({ options: { url: { type: 'string' }, 'admin-password': { type: 'string' } } })
const health = await send(values.url, { method: 'GET', path: '/xrpc/_health' })
const once = () => ask(values.url, steps, values['admin-password'])
let answers = await once()
for (let i = 0; i < 2; i++) answers = merge(answers, await once())

const file = new URL('../reference-answers.json', import.meta.url)
writeFileSync(file, JSON.stringify({ server: `@atproto/pds ${health.json.version}`, answers }, null, 1) + '\n')
console.log(`${steps.length} answers recorded`)
process.exit()
