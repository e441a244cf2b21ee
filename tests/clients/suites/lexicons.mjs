// @atproto/lexicon: this project's own lexicons, read by the parser and held together by the validator that clients have.

import assert from 'node:assert/strict'
import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { schemas } from '@atproto/api'
import { Lexicons, parseLexiconDoc } from '@atproto/lexicon'

const FOLDER = new URL('../../../lexicons/agent', import.meta.url).pathname
const AT = '2026-11-28T06:00:00.000Z'
const [ALICE, BOB] = ['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', 'did:plc:bbbbbbbbbbbbbbbbbbbbbbbb']

/** The smallest records that must be valid as they stand. */
const RECORDS = {
  'agent.comms.message': { sender: ALICE, recipient: BOB, content: { kind: 'text', text: 'x' }, createdAt: AT },
  'agent.comms.request': { sender: ALICE, recipient: BOB, task: 'x', createdAt: AT },
  'agent.comms.response': {
    sender: BOB, recipient: ALICE, requestUri: `at://${ALICE}/agent.comms.request/3lznm6spegk2z`,
    status: 'completed', createdAt: AT,
  },
  'agent.memory.note': { summary: 'x', createdAt: AT },
  'agent.memory.decision': { decision: 'x', context: 'x', rationale: 'x', status: 'accepted', createdAt: AT },
}

export default async function lexicons(runner) {
  await runner.suite('@atproto/lexicon on lexicons/agent', (test) => verify(test))
}

async function verify(test) {
  const files = readdirSync(FOLDER, { recursive: true }).filter((name) => name.endsWith('.json'))
  const all = new Lexicons(schemas)
  for (const name of files.sort()) {
    await test(`agent/${name} parses`, async () => {
      const document = parseLexiconDoc(JSON.parse(readFileSync(join(FOLDER, name), 'utf8')))
      assert.equal(document.id, `agent.${name.replace(/\.json$/, '').replaceAll('/', '.')}`)
      all.add(document)
    })
  }
  await test('each reference leads to a definition', async () => {
    assert.ok(files.length > 60)
    for (const name of files) {
      const text = readFileSync(join(FOLDER, name), 'utf8')
      const own = JSON.parse(text).id
      for (const [, ref] of text.matchAll(/"ref": *"([^"]+)"/g)) all.getDefOrThrow(ref.startsWith('#') ? own + ref : ref)
    }
  })
  for (const [type, record] of Object.entries(RECORDS)) {
    await test(`the smallest ${type} is valid, and less is not`, async () => {
      all.assertValidRecord(type, { $type: type, ...record })
      for (const key of Object.keys(record)) {
        const { [key]: _, ...less } = record
        assert.throws(() => all.assertValidRecord(type, { $type: type, ...less }), `without ${key}`)
      }
    })
  }
}
