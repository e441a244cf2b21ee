// The smallest runner that does: suites of tests that run in order, one line each, a tally.

import assert from 'node:assert/strict'

const TEST_TIMEOUT_MS = 60_000
/** A test that takes longer says how long. */
const SLOW_MS = 2_000

/** Counts and prints; `filter` keeps only the tests whose full name contains it. */
export class Runner {
  constructor({ filter } = {}) {
    this.filter = filter
    this.passed = 0
    this.skipped = 0
    this.failures = []
  }

  /** Runs one suite: `define` gets `test(name, fn)` and is awaited, so it may prepare things between tests. */
  async suite(title, define) {
    const started = Date.now()
    const before = this.passed
    try {
      await define((name, fn) => this.#test(`${title}: ${name}`, fn))
    } catch (error) {
      this.#fail(`${title}: preparation`, error)
    }
    console.log(`# ${title}: ${this.passed - before} passed in ${Date.now() - started} ms`)
  }

  skip(name, reason) {
    this.skipped += 1
    console.log(`skipped: ${name}: ${reason}`)
  }

  async #test(name, fn) {
    if (this.filter && !name.includes(this.filter)) return
    const started = Date.now()
    let timer
    try {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`not done within ${TEST_TIMEOUT_MS} ms`)), TEST_TIMEOUT_MS)
      })
      await Promise.race([fn(), late])
      this.passed += 1
      const took = Date.now() - started
      console.log(`ok ${name}${took > SLOW_MS ? ` (${took} ms)` : ''}`)
    } catch (error) {
      this.#fail(name, error)
    } finally {
      clearTimeout(timer)
    }
  }

  #fail(name, error) {
    this.failures.push(name)
    console.log(`FAILED ${name}`)
    const cause = error?.cause ? `\ncaused by ${error.cause?.stack ?? error.cause}` : ''
    console.log(`${error?.stack ?? error}${cause}`.replace(/^/gm, '    '))
  }

  /** Prints what failed and the closing line; answers the exit code. */
  close() {
    for (const name of this.failures) console.log(`failed: ${name}`)
    const skipped = this.skipped > 0 ? `, ${this.skipped} skipped` : ''
    console.log(`${this.passed} passed, ${this.failures.length} failed${skipped}`)
    return this.failures.length > 0 || this.passed === 0 ? 1 : 0
  }
}

/** The error that `promise` fails with; fails itself when it does not. */
export async function failure(promise) {
  let value
  try {
    value = await promise
  } catch (error) {
    return error
  }
  throw new Error(`wanted an error, got ${JSON.stringify(value)?.slice(0, 300)}`)
}

/** Asserts an XRPC error as `@atproto/*` clients show it. */
export async function fails(promise, { status, error, message }) {
  const got = await failure(promise)
  assert.deepEqual(
    { status: got.status, error: got.error, ...(message === undefined ? {} : { message: got.message }) },
    { status, error, ...(message === undefined ? {} : { message }) },
    got.stack,
  )
}
