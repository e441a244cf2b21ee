// A bare subscriber of com.atproto.sync.subscribeRepos: keeps every frame as it came.

import { decodeFirst, fromCidLink, toCidLink } from '@atcute/cbor'
import WebSocket from 'ws'

const WAIT_MS = 20_000

/** Splits a frame into `{header, body, bytes}`; fails when anything but two CBOR items is in it. */
export function decodeFrame(data) {
  const bytes = new Uint8Array(data)
  const [header, rest] = decodeFirst(bytes)
  const [body, left] = decodeFirst(rest)
  if (left.length > 0) throw new Error(`${left.length} bytes after a frame's body`)
  return { header, body, bytes }
}

export class Tap {
  /** Connects, and answers once the socket is open. `params` become the query. */
  static async open(base, params = {}) {
    const url = new URL('/xrpc/com.atproto.sync.subscribeRepos', base.replace(/^http/, 'ws'))
    for (const [key, value] of Object.entries(params)) url.searchParams.set(key, String(value))
    const tap = new Tap(new WebSocket(url))
    await new Promise((resolve, reject) => {
      tap.socket.on('open', resolve)
      tap.socket.on('error', reject)
    })
    return tap
  }

  constructor(socket) {
    this.socket = socket
    this.frames = []
    this.problems = []
    this.closed = new Promise((resolve) => socket.on('close', (code, reason) => resolve({ code, reason: String(reason) })))
    this.waiting = new Set()
    socket.binaryType = 'nodebuffer'
    socket.on('message', (data, isBinary) => {
      try {
        if (!isBinary) throw new Error(`a text frame: ${data}`)
        this.frames.push(decodeFrame(data))
      } catch (error) {
        this.problems.push(error)
      }
      for (const check of this.waiting) check()
    })
    socket.on('close', () => {
      for (const check of this.waiting) check()
    })
  }

  /** The messages so far: frames that are no errors. */
  get messages() {
    return this.frames.filter(({ header }) => header.op === 1)
  }

  /** The messages about one account. */
  about(did) {
    return this.messages.filter(({ body }) => (body.repo ?? body.did) === did)
  }

  /** Waits until `ready(tap)` is true; fails after `WAIT_MS`. */
  async until(ready, what = String(ready)) {
    if (ready(this)) return
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.waiting.delete(check)
        reject(new Error(`waited ${WAIT_MS} ms for ${what}; ${this.frames.length} frames came`))
      }, WAIT_MS)
      const check = () => {
        if (this.problems.length > 0 || ready(this)) {
          clearTimeout(timer)
          this.waiting.delete(check)
          resolve()
        }
      }
      this.waiting.add(check)
    })
    if (this.problems.length > 0) throw this.problems[0]
  }

  /** Waits until this account's commit of `rev` has come. */
  untilRev(did, rev) {
    return this.until((tap) => tap.about(did).some(({ header, body }) => header.t === '#commit' && body.rev === rev), `${did} at ${rev}`)
  }

  async close() {
    this.socket.close()
    setTimeout(() => this.socket.terminate(), 1000).unref()
    return this.closed
  }
}

export { fromCidLink, toCidLink }
