// Real, unmodified clients against one running server:
//
//   node tests/clients/run.mjs --url http://127.0.0.1:PORT --plc http://127.0.0.1:PLCPORT
//       [--admin-password X] [--only SUITE,...] [--filter TEXT] [--strict] [--no-python] [--reference]
//
// Handles end in .test and are random: a run may be repeated against the same server.
// Exits with 1 when anything failed. README.md says what each suite holds.

import './node20.mjs'
import { parseArgs } from 'node:util'
import { Runner } from './lib/runner.mjs'

const { values: options } = parseArgs({
  options: {
    url: { type: 'string' },
    plc: { type: 'string' },
    'admin-password': { type: 'string' },
    only: { type: 'string' },
    filter: { type: 'string' },
    strict: { type: 'boolean', default: false },
    reference: { type: 'boolean', default: false },
    'no-python': { type: 'boolean', default: false },
  },
})
if (!options.url || !options.plc) {
  console.error('usage: node run.mjs --url http://127.0.0.1:PORT --plc http://127.0.0.1:PLCPORT')
  process.exit(2)
}

const suites = ['lexicons', 'conformance', 'atproto-api', 'atproto-repo', 'atproto-sync', 'firehose', 'atcute', 'python']
const wanted = options.only ? options.only.split(',') : suites
const context = {
  url: options.url.replace(/\/$/, ''),
  plc: options.plc.replace(/\/$/, ''),
  adminPassword: options['admin-password'],
  strict: options.strict,
  reference: options.reference,
  python: !options['no-python'],
}

const started = Date.now()
const runner = new Runner({ filter: options.filter })
for (const name of wanted) {
  const { default: suite } = await import(`./suites/${name}.mjs`)
  await suite(runner, context)
}
console.log(`# all suites in ${((Date.now() - started) / 1000).toFixed(1)} s`)
process.exit(runner.close())
