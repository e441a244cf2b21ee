// Puts objects out of memory on demand, in test worlds: POST /evict?binding=AGENT&name=DID&sockets=hibernate|close,
// POST /evict-all.
import unsafe from "workerd:unsafe";

export default {
  async fetch(request, env) {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/evict") {
      const stub = env[searchParams.get("binding")].getByName(searchParams.get("name"));
      await unsafe.evict(stub, { webSockets: searchParams.get("sockets") ?? "hibernate" });
    } else if (pathname === "/evict-all") {
      await unsafe.evictAllDurableObjects();
    } else {
      return new Response("not found", { status: 404 });
    }
    return new Response("done");
  },
};
