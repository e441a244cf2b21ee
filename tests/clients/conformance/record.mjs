// Records the reference server's answers into ../reference-answers.json:
//
//   node conformance/record.mjs --url http://127.0.0.1:PORT
//
// The server is npm's @atproto/pds at the version named in README.md, started as described
// there. The table is sent three times; what differs between the runs is noted as `<varies>`.

import { writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { send } from '../lib/http.mjs'
import { ask, merge } from './answers.mjs'
import { steps } from './index.mjs'

const { values } = parseArgs({ options: { url: { type: 'string' } } })
const health = await send(values.url, { method: 'GET', path: '/xrpc/_health' })
let answers = await ask(values.url, steps)
for (let i = 0; i < 2; i++) answers = merge(answers, await ask(values.url, steps))

const file = new URL('../reference-answers.json', import.meta.url)
writeFileSync(file, JSON.stringify({ server: `@atproto/pds ${health.json.version}`, answers }, null, 1) + '\n')
console.log(`${steps.length} answers recorded`)
process.exit()
