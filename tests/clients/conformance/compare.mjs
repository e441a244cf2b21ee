// Prints where a server's answers differ from the recorded ones, a line a field:
//
//   node conformance/compare.mjs --url http://127.0.0.1:PORT [--messages]
//
// For whoever works on the server; run.mjs is what decides.

import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { ask, differences } from './answers.mjs'
import { deviations } from './deviations.mjs'
import { steps } from './index.mjs'

const { values } = parseArgs({ options: { url: { type: 'string' }, messages: { type: 'boolean', default: false } } })
const { answers } = JSON.parse(readFileSync(new URL('../reference-answers.json', import.meta.url), 'utf8'))
const got = await ask(values.url, steps)
const brief = (value) => (value === undefined ? '(nothing)' : JSON.stringify(value).slice(0, 160))
for (const { name, exact } of steps) {
  for (const { path, expected, got: mine } of differences(answers[name], got[name])) {
    if (path === 'message' && !exact && !values.messages) continue
    const listed = deviations[name] && Object.keys(deviations[name]).some((one) => path.startsWith(one))
    console.log(`${listed ? 'accepted ' : ''}${name} | ${path} | reference ${brief(expected)} | here ${brief(mine)}`)
  }
}
process.exit()
