// The entry of a test build: the real one, and a door to force an object out of memory.
// Needs workerd's compatibility flags "experimental" and "unsafe_module", and the cargo feature `test-routes`.

import unsafe from "workerd:unsafe";
import entry, { AgentObject, IndexObject, LimiterObject, RelayObject } from "./entry.js";

export { AgentObject, IndexObject, LimiterObject, RelayObject };

export default {
  ...entry,
  async fetch(request, env) {
    const url = new URL(request.url);
    if (env.TEST_ROUTES !== "true" || url.pathname !== "/test/evict") return entry.fetch(request, env);
    // ?object=agent|relay|index&name=<name>&sockets=hibernate|close
    const namespace = { relay: env.RELAY, index: env.INDEX }[url.searchParams.get("object")] ?? env.AGENT;
    const webSockets = url.searchParams.get("sockets") ?? "hibernate";
    try {
      await unsafe.evict(namespace.getByName(url.searchParams.get("name")), { webSockets });
    } catch (error) {
      // What is out of memory already is where the test wants it.
      if (!/not currently running/.test(error?.message)) throw error;
    }
    return new Response("evicted\n");
  },
};
