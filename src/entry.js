// The Worker's entry: the classes of the Rust build, each behind a guard.
//
// A Rust panic aborts. Its Wasm instance is then dead, and whatever that instance was to settle stays pending for ever:
// the call that panicked, and every other call in flight, for all objects of an isolate share one instance. The shim that
// worker-build puts around the Wasm makes a new instance for *later* calls; this file ends the calls of the dead one.
//
// - The object that panicked fails its calls and is aborted in its own context: what it wrote and had not flushed rolls
//   back, its sockets close (1006), and its next call starts from storage.
// - Other objects fail the calls that they had in flight, and nothing else: their sockets stay, and the shim rebuilds their
//   Rust half at the next call. What they had begun to write was whole, because a write is one turn.
// - A read (GET) in flight that did not itself reach the panic is asked once more, of the new instance.
// - A caller from outside gets 500 `InternalServerError`, within milliseconds.

import { DurableObject, WorkerEntrypoint, waitUntil } from "cloudflare:workers";
import Inner, { AgentObject as InnerAgent, LimiterObject as InnerLimiter, RelayObject as InnerRelay } from "../build/index.js";

/** What a call in flight fails with when its Wasm instance dies. `own`: it was this call's object that panicked. */
class InstanceDied extends Error {
  constructor(own) {
    super("the Wasm instance died");
    this.own = own;
  }
}

// The runtime's own makes a new function of every task, which costs more than most tasks do.
const settled = Promise.resolve();
globalThis.queueMicrotask = (task) => {
  settled.then(() => {
    try {
      task();
    } catch (error) {
      reportError(error);
    }
  });
};

/** Calls in flight: `{ object, request, fail }`; `object` is the context of an object, absent in the Worker itself. */
const inFlight = new Set();

/** Whether an error means that the Wasm instance is dead, as opposed to an error that is somebody's to handle. */
function isFatal(error) {
  return error instanceof WebAssembly.RuntimeError || error?.message === "Critical error";
}

/** Whether `object` is the one that runs now: storage answers no other. */
function isRunning(object) {
  try {
    return object.storage.sql.databaseSize >= 0;
  } catch {
    return false;
  }
}

/** Fails every call in flight. Runs in the context of the call that panicked. */
function die() {
  const calls = [...inFlight];
  inFlight.clear();
  const own = new Set(calls.filter((call) => call.object && isRunning(call.object)));
  // A request reaches an object as it reached the Worker, so its path tells which of the Worker's calls panicked. With no
  // object to blame it was one of the Worker's own, and none of them may try again.
  const name = ({ request }) => request && `${request.method} ${request.url.replace(/^\w+:\/\/[^/]*/, "")}`;
  const blamed = new Set([...own].map(name));
  for (const call of calls) {
    const guilty = own.has(call) || (!call.object && (own.size === 0 || blamed.has(name(call))));
    call.fail(new InstanceDied(guilty));
  }
}

// A panic inside a microtask, where nearly all Rust runs, surfaces here and nowhere else.
addEventListener("error", (event) => {
  if (isFatal(event.error)) die();
});

/** Runs `call`, and fails with `InstanceDied` as soon as the instance is dead. */
async function guard(call, object, request) {
  const entry = { object, request };
  inFlight.add(entry);
  try {
    return await new Promise((settle, fail) => {
      entry.fail = fail;
      call().then(settle, fail);
    });
  } catch (error) {
    if (!isFatal(error)) throw error;
    // A panic that came straight back here instead of through a microtask: everybody else must hear of it, too.
    die();
    throw new InstanceDied(true);
  } finally {
    inFlight.delete(entry);
  }
}

/** As `guard`, for a request: a read that did not itself panic is asked once more. */
async function guardRequest(call, object, request) {
  try {
    return await guard(call, object, request);
  } catch (error) {
    const read = request.method === "GET" || request.method === "HEAD";
    if (!read || !(error instanceof InstanceDied) || error.own) throw error;
    return guard(call, object, request);
  }
}

/** Hides what Cloudflare says of the client: nobody asks, and `worker` reads it from every request at great cost. */
function plain(request) {
  return Object.defineProperty(request, "cf", { value: undefined });
}

class GuardedObject extends DurableObject {
  #inner;

  constructor(ctx, env, Class) {
    super(ctx, env);
    // What the runtime waits for must end with the instance as well.
    const { waitUntil, blockConcurrencyWhile } = ctx;
    ctx.waitUntil = (promise) => waitUntil.call(ctx, this.#run(() => guard(() => promise, ctx)));
    ctx.blockConcurrencyWhile = (body) => blockConcurrencyWhile.call(ctx, () => guard(body, ctx));
    try {
      this.#inner = new Class(ctx, env);
    } catch (error) {
      if (isFatal(error)) die();
      throw error;
    }
  }

  async #run(call) {
    try {
      return await call();
    } catch (error) {
      if (error instanceof InstanceDied && error.own) this.ctx.abort(error.message);
      throw error;
    }
  }

  fetch(request) {
    return this.#run(() => guardRequest(() => this.#inner.fetch(plain(request)), this.ctx, request));
  }
  alarm() {
    return this.#run(() => guard(() => this.#inner.alarm(), this.ctx));
  }
  webSocketMessage(socket, message) {
    return this.#run(() => guard(() => this.#inner.webSocketMessage(socket, message), this.ctx));
  }
  webSocketClose(socket, code, reason, clean) {
    return this.#run(() => guard(() => this.#inner.webSocketClose(socket, code, reason, clean), this.ctx));
  }
  webSocketError(socket, error) {
    return this.#run(() => guard(() => this.#inner.webSocketError(socket, error), this.ctx));
  }
}

/** One account. */
export class AgentObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, InnerAgent);
  }
}

/** The host's sequencer and firehose. */
export class RelayObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, InnerRelay);
  }
}

/** The rate limits of one client or account. */
export class LimiterObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, InnerLimiter);
  }
}

/** The Rust half of the Worker: one for all requests, for their bindings are the same. */
let worker;

/** Its context: a stand-in with all that it uses. What the runtime waits for must end, too; it is the running request's. */
const context = { waitUntil: (promise) => waitUntil(guard(() => promise)) };

/** What comes from outside: requests, queue batches, cron. */
export default class extends WorkerEntrypoint {
  /** The Rust half. */
  #inner() {
    return (worker ??= new Inner(context, this.env));
  }
  async fetch(request) {
    try {
      return await guardRequest(() => this.#inner().fetch(plain(request)), undefined, request);
    } catch (error) {
      console.error("a request failed:", error?.message);
      const body = { error: "InternalServerError", message: "Internal Server Error" };
      return Response.json(body, { status: 500, headers: { "access-control-allow-origin": "*" } });
    }
  }
  queue(batch) {
    return guard(() => this.#inner().queue(batch));
  }
  scheduled(controller) {
    return guard(() => this.#inner().scheduled(controller));
  }
}
