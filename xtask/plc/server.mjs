// The reference PLC server on the loopback address: node server.mjs PORT LOG
import http from "node:http";
import process from "node:process";

process.env.LOG_ENABLED ??= "false";
const { PlcServer } = (await import("@did-plc/server")).default;
const { FileDatabase } = await import("./database.mjs");

const [port, log] = process.argv.slice(2);
const db = await FileDatabase.open(log);
const { app } = PlcServer.create({ db, version: "0.0.1" });
// Not PlcServer.start(), which would listen on every address of the machine.
const server = http.createServer(app);
server.on("error", (error) => {
  console.error(`cannot listen on 127.0.0.1:${port}: ${error.message}`);
  process.exit(1);
});
server.listen(Number(port), "127.0.0.1", () => {
  console.log(JSON.stringify({ event: "listen", port: server.address().port }));
});
process.on("SIGTERM", async () => {
  await db.close();
  process.exit(0);
});
