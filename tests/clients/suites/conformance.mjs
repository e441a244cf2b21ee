// The raw-HTTP table against this server, compared with the answers recorded from the reference.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { ask, differences } from '../conformance/answers.mjs'
import { deviations } from '../conformance/deviations.mjs'
import { steps } from '../conformance/index.mjs'

const fixture = new URL('../reference-answers.json', import.meta.url)

export default async function conformance(runner, { url, adminPassword, strict, reference }) {
  const { server, answers: recorded } = JSON.parse(readFileSync(fixture, 'utf8'))
  await runner.suite(`conformance with ${server}`, async (test) => {
    let got = {}
    await test('every request is answered', async () => {
      got = await ask(url, steps, adminPassword)
      const silent = Object.entries(got).filter(([, answer]) => answer.status === 0)
      assert.deepEqual(silent.map(([name, answer]) => `${name}: ${answer.problem}`), [])
    })
    const notes = []
    // The reference itself deviates in nothing.
    const accepted = reference ? {} : deviations
    for (const step of steps) {
      await test(step.name, () => compare(step, recorded[step.name], got[step.name], accepted, notes, strict || reference))
    }
    await test('every listed deviation is one of these requests and still needed', () => {
      for (const [name, { reason, ...fields }] of Object.entries(accepted)) {
        assert.ok(recorded[name], `no request is called '${name}'`)
        assert.ok(reason, `'${name}' has no reason`)
        const paths = differences(recorded[name], got[name]).map(({ path }) => path)
        for (const path of Object.keys(fields)) {
          assert.ok(paths.some((one) => covers(path, one)), `'${name}' no longer deviates in '${path}'`)
        }
      }
    })
    if (notes.length > 0) {
      console.log(`note: ${notes.length} error messages are worded otherwise than the reference's (--strict fails on them)`)
    }
  })
}

function compare(step, expected, got, listed, notes, strict) {
  assert.ok(expected, 'not recorded yet: run conformance/record.mjs')
  assert.ok(got, 'not answered')
  const accepted = listed[step.name] ?? {}
  const left = []
  for (const difference of differences(expected, got)) {
    const allowed = Object.keys(accepted).find((path) => path !== 'reason' && covers(path, difference.path))
    if (allowed !== undefined) {
      const wanted = accepted[allowed]
      if (wanted === '<any>' || wanted === difference.got) continue
      if (difference.got === difference.expected) continue
    }
    if (difference.path === 'message' && !step.exact && !strict) {
      notes.push(step.name)
      continue
    }
    left.push(difference)
  }
  assert.deepEqual(left, [], `'${step.name}' differs from the reference\n${JSON.stringify(got, null, 1).slice(0, 2000)}`)
}

/** Whether a listed path names this one or something it lies in. */
const covers = (listed, path) => path === listed || path.startsWith(`${listed}.`) || path.startsWith(`${listed}[`)
