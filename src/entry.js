// The Worker's entry: the classes of the Rust build, each behind a guard.
//
// A Rust panic aborts. Its Wasm instance is then dead, and whatever that instance was to settle stays pending for ever:
// the call that panicked, and every other call in flight, for all objects of an isolate share one instance. This file ends
// the calls of the dead instance, and makes a new one for *later* calls.
//
// - The object that panicked fails its calls and is aborted in its own context: what it wrote and had not flushed rolls
//   back, its sockets close (1006), and its next call starts from storage.
// - Other objects fail the calls that they had in flight, and nothing else: their sockets stay, and their Rust half is made
//   anew at the next call. What they had begun to write was whole, because a write is one turn.
// - A read (GET) in flight that did not itself reach the panic is asked once more, of the new instance.
// - A caller from outside gets 500 `InternalServerError`, within milliseconds.

import { DurableObject, waitUntil } from "cloudflare:workers";
import * as rust from "../build/index.js";

/** The Wasm instance as the crate `worker` knows it: whether it has died, and its number. */
const instance = rust.__worker_init_state();

/** The number of the instance that was alive when somebody looked. */
let alive = instance.instanceId;

/** Makes a new instance in place of one that has died. To be called before any call into Rust. */
function revive() {
  if (instance.criticalError) {
    // The code of wasm-bindgen makes a new one, too, when it is called by the runtime first. Its calls must not die as well.
    if (instance.instanceId === alive) rust.__wbg_reset_state();
    instance.criticalError = false;
  }
  alive = instance.instanceId;
}

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

/** Fails every call in flight, and names `last` with them. Runs in the context of the call that panicked. */
function die(last) {
  instance.criticalError = true;
  const calls = last ? [...inFlight, last] : [...inFlight];
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

// Nearly all calls go well, and what stands around them costs as much as some of them: no asynchronous functions here.

/** Fails a call that is not in flight any more. */
function failWith(error, call) {
  if (!isFatal(error)) return call.fail(error);
  // A panic that came straight back instead of through a microtask: everybody else must hear of it, too.
  call.fail(new InstanceDied(true));
  die(call);
}

/** Runs `call`: what it has at once, or a promise, which fails with `InstanceDied` as soon as the instance is dead. */
function guard(call, object, request) {
  let outcome;
  try {
    outcome = call();
  } catch (error) {
    return new Promise((_, fail) => failWith(error, { object, request, fail }));
  }
  if (!(outcome instanceof Promise)) return outcome;
  return new Promise((settle, fail) => {
    const entry = { object, request, fail };
    inFlight.add(entry);
    const done = (value) => {
      inFlight.delete(entry);
      settle(value);
    };
    outcome.then(done, (error) => {
      inFlight.delete(entry);
      failWith(error, entry);
    });
  });
}

/** What comes of `outcome`, or of its failure. */
function rescue(outcome, failed) {
  return outcome instanceof Promise ? outcome.catch(failed) : outcome;
}

/** As `guard`, for a request: a read that did not itself panic is asked once more. */
function guardRequest(call, object, request) {
  return rescue(guard(call, object, request), (error) => {
    const read = request.method === "GET" || request.method === "HEAD";
    if (!read || !(error instanceof InstanceDied) || error.own) throw error;
    return guard(call, object, request);
  });
}

/** Hides what Cloudflare says of the client: nobody asks, and `worker`'s own requests read it at great cost. */
function plain(request) {
  return Object.defineProperty(request, "cf", { value: undefined });
}

class GuardedObject extends DurableObject {
  #Class;
  #rust;
  #instanceId;

  constructor(ctx, env, Class) {
    super(ctx, env);
    this.#Class = Class;
    // What the runtime waits for must end with the instance as well.
    const { waitUntil, blockConcurrencyWhile } = ctx;
    ctx.waitUntil = (promise) => waitUntil.call(ctx, this.#outcome(guard(() => promise, ctx)));
    ctx.blockConcurrencyWhile = (body) => blockConcurrencyWhile.call(ctx, () => guard(body, ctx));
    try {
      this.#inner();
    } catch (error) {
      if (isFatal(error)) die();
      throw error;
    }
  }

  /** The Rust half, of the instance that lives. */
  #inner() {
    revive();
    if (this.#instanceId !== instance.instanceId) {
      this.#rust = new this.#Class(this.ctx, this.env);
      this.#instanceId = instance.instanceId;
    }
    return this.#rust;
  }

  /** The outcome of a call, behind which the object ends if it has panicked. */
  #outcome(call) {
    return rescue(call, (error) => {
      if (error instanceof InstanceDied && error.own) this.ctx.abort(error.message);
      throw error;
    });
  }

  fetch(request) {
    return this.#outcome(guardRequest(() => this.#inner().fetch(request), this.ctx, request));
  }
  alarm() {
    return this.#outcome(guard(() => this.#inner().alarm(), this.ctx));
  }
  webSocketMessage(socket, message) {
    return this.#outcome(guard(() => this.#inner().webSocketMessage(socket, message), this.ctx));
  }
  webSocketClose(socket, code, reason, clean) {
    return this.#outcome(guard(() => this.#inner().webSocketClose(socket, code, reason, clean), this.ctx));
  }
  webSocketError(socket, error) {
    return this.#outcome(guard(() => this.#inner().webSocketError(socket, error), this.ctx));
  }
}

/** One account. */
export class AgentObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, rust.AgentObject);
  }
}

/** The host's sequencer and firehose. */
export class RelayObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, rust.RelayObject);
  }
  fetch(request) {
    return super.fetch(plain(request));
  }
}

/** What is public on the network, to be searched. */
export class IndexObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, rust.IndexObject);
  }
}

/** The rate limits of one client or account. */
export class LimiterObject extends GuardedObject {
  constructor(ctx, env) {
    super(ctx, env, rust.LimiterObject);
  }
  fetch(request) {
    return super.fetch(plain(request));
  }
}

/** What Rust sees of a request's context. What the runtime waits for must end, too; it is the running request's. */
const context = { waitUntil: (promise) => waitUntil(guard(() => promise)) };

/** Calls what Rust has for something that comes from outside. */
function call(handler, what, env) {
  revive();
  return rust[handler](what, env, context);
}

/** What comes from outside: requests, queue batches, cron. No class, of which the runtime makes an object for each. */
export default {
  fetch(request, env) {
    return rescue(guardRequest(() => call("fetch", request, env), undefined, request), (error) => {
      console.error("a request failed:", error?.message);
      const body = { error: "InternalServerError", message: "Internal Server Error" };
      return Response.json(body, { status: 500, headers: { "access-control-allow-origin": "*" } });
    });
  },
  async queue(batch, env) {
    const deliver = ({ body, attempts }) =>
      guard(() => call("queue", JSON.stringify({ queue: batch.queue, attempts, body }), env));
    const settle = async (message) => {
      const seconds = await deliver(message);
      if (seconds === undefined) message.ack();
      else message.retry({ delaySeconds: seconds });
    };
    const settled = await Promise.allSettled(batch.messages.map(settle));
    // A panic fails all that were under way with it. One by one they show which of them it was.
    for (const message of batch.messages.filter((_, at) => settled[at].status === "rejected")) {
      try {
        await settle(message);
      } catch (error) {
        console.error("a message of a queue failed:", error?.message);
        message.retry({ delaySeconds: Math.ceil(Math.min(2 ** message.attempts, 3600) * (1 + Math.random()) / 2) });
      }
    }
  },
  scheduled(controller, env) {
    return guard(() => call("scheduled", controller, env));
  },
};
