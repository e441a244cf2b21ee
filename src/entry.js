// The Worker's entry: the classes of the Rust build, each behind a guard.
//
// Rust panics abort here. The Wasm instance is then dead, and workerd leaves every promise that it was to settle pending
// for ever: the call that panicked and all others in flight, whichever object they belong to, because all objects of an
// isolate share the one instance. worker-build's shim makes a new instance for *later* calls; this file settles the
// calls of the dead one. See docs/architecture.md, "A panic must not hang".
//
// For each call in flight when the instance dies:
// - an object's call fails, and the object is aborted in its own context: writes that were not flushed roll back, its
//   sockets close (1006) and its next call starts from storage;
// - a request from outside is answered 500, except that a read which did not itself reach the object that panicked is
//   asked once more, of the new instance.
// An object without a call in flight is left alone: the shim rebuilds its Rust half at its next call.

import { DurableObject, WorkerEntrypoint } from "cloudflare:workers";
import Inner, { AgentObject as InnerAgent, RelayObject as InnerRelay } from "../build/index.js";

/** What a call in flight fails with when its Wasm instance dies under it. */
class InstanceDied extends Error {
  constructor() {
    super("the Wasm instance died");
  }
}

/** Calls in flight: what settles them. */
const inFlight = new Set();

/** Whether an error means that the Wasm instance is dead, as opposed to an error that somebody handles. */
function isFatal(error) {
  return error instanceof WebAssembly.RuntimeError || error?.message === "Critical error";
}

function failAll() {
  const calls = [...inFlight];
  inFlight.clear();
  for (const call of calls) call.fail(new InstanceDied());
}

// A panic inside a microtask, which is where nearly all Rust runs, surfaces here and nowhere else.
addEventListener("error", (event) => {
  if (isFatal(event.error)) failAll();
});

/** Runs `call`, and fails with `InstanceDied` as soon as the instance does. */
function guard(call) {
  return new Promise((resolve, reject) => {
    const entry = { fail: reject };
    inFlight.add(entry);
    const settle = (how) => (value) => {
      inFlight.delete(entry);
      how(value);
    };
    const fail = settle((error) => {
      if (!isFatal(error)) return reject(error);
      failAll();
      reject(new InstanceDied());
    });
    try {
      Promise.resolve(call()).then(settle(resolve), fail);
    } catch (error) {
      fail(error);
    }
  });
}

/** The answer to a caller whose call cannot be completed. */
function failure() {
  const body = { error: "InternalServerError", message: "Internal Server Error" };
  return Response.json(body, { status: 500, headers: { "access-control-allow-origin": "*" } });
}

class GuardedObject extends DurableObject {
  #inner;

  constructor(ctx, env, Class) {
    super(ctx, env);
    this.#inner = new Class(ctx, env);
  }

  async #run(method, args) {
    try {
      return await guard(() => this.#inner[method](...args));
    } catch (error) {
      if (error instanceof InstanceDied) this.ctx.abort(error.message);
      throw error;
    }
  }

  fetch(request) {
    return this.#run("fetch", [request]);
  }
  alarm() {
    return this.#run("alarm", []);
  }
  webSocketMessage(socket, message) {
    return this.#run("webSocketMessage", [socket, message]);
  }
  webSocketClose(socket, code, reason, clean) {
    return this.#run("webSocketClose", [socket, code, reason, clean]);
  }
  webSocketError(socket, error) {
    return this.#run("webSocketError", [socket, error]);
  }
}

export class AgentObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, InnerAgent);
  }
}

export class RelayObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, InnerRelay);
  }
}

export default class extends WorkerEntrypoint {
  async fetch(request) {
    const ask = () => guard(() => new Inner(this.ctx, this.env).fetch(request));
    try {
      return await ask();
    } catch (error) {
      return failure();
    }
  }
}
