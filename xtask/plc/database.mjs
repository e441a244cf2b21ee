// The PLC server's database as an append-only log: one operation a line, on disk before it is answered.
//
// The whole log is in memory as well, which is right for the accounts of one machine. A line names the earlier operations
// that it nullifies: whether it may do so depends on the time it came, so it is judged once, then believed.
import fs from "node:fs/promises";
import plc from "@did-plc/lib";
import { CID } from "multiformats/cid";
import { sha256 } from "multiformats/hashes/sha2";
import * as dagCbor from "@ipld/dag-cbor";

export class FileDatabase {
  #file;
  #size;
  #failed = null;
  /** All operations of a DID, in order. */
  #byDid = new Map();
  /** All operations, in order. */
  #all = [];
  /** One operation at a time: each is judged by all before it. */
  #turn = Promise.resolve();

  static async open(path) {
    const db = new FileDatabase();
    db.#file = await fs.open(path, "a+", 0o600);
    const bytes = await db.#file.readFile();
    // A line that the power cut short was never answered: it goes.
    db.#size = bytes.lastIndexOf(0x0a) + 1;
    if (db.#size !== bytes.length) await db.#file.truncate(db.#size);
    for (const line of bytes.subarray(0, db.#size).toString("utf8").split("\n")) {
      if (line === "") continue;
      db.#apply(JSON.parse(line));
    }
    return db;
  }

  async close() {
    await this.#turn;
    await this.#file.close();
  }

  async healthCheck() {
    if (this.#failed) throw this.#failed;
  }

  async validateAndAddOp(did, proposed) {
    const add = async () => {
      if (this.#failed) throw this.#failed;
      const line = await this.#judge(did, proposed);
      await this.#append(line);
      this.#apply(line);
    };
    const added = this.#turn.then(add);
    this.#turn = added.catch(() => {});
    await added;
  }

  async opsForDid(did) {
    return (await this.indexedOpsForDid(did)).map((op) => op.operation);
  }

  async indexedOpsForDid(did, includeNullified = false) {
    const ops = this.#byDid.get(did) ?? [];
    return includeNullified ? [...ops] : ops.filter((op) => !op.nullified);
  }

  async lastOpForDid(did) {
    return (await this.opsForDid(did)).at(-1) ?? null;
  }

  async exportOps(count, after) {
    const later = after ? this.#all.filter((op) => op.createdAt > after) : this.#all;
    return later.slice(0, count).map((op) => ({
      ...op,
      cid: op.cid.toString(),
      createdAt: op.createdAt.toISOString(),
    }));
  }

  /** Strictly later than every operation before, so that /export can be paged by time. */
  #now() {
    const last = this.#all.at(-1);
    return new Date(Math.max(Date.now(), last ? last.createdAt.getTime() + 1 : 0));
  }

  /** The line of an operation, if it may follow those that are here. Changes nothing. */
  async #judge(did, operation) {
    const before = await this.indexedOpsForDid(did);
    const { nullified } = await plc.assureValidNextOp(did, before, operation);
    const cid = CID.createV1(dagCbor.code, await sha256.digest(dagCbor.encode(operation)));
    return {
      did,
      operation,
      cid: cid.toString(),
      nullified: nullified.map((cid) => cid.toString()),
      createdAt: this.#now().toISOString(),
    };
  }

  async #append(line) {
    const bytes = Buffer.from(`${JSON.stringify(line)}\n`);
    try {
      await this.#file.appendFile(bytes);
      await this.#file.datasync();
      this.#size += bytes.length;
    } catch (error) {
      // Half a line may be there now. Take it back, or accept nothing more.
      await this.#file.truncate(this.#size).catch(() => (this.#failed = error));
      throw error;
    }
  }

  #apply({ did, operation, cid, nullified, createdAt }) {
    const ops = this.#byDid.get(did) ?? [];
    for (const earlier of ops) {
      if (nullified.includes(earlier.cid.toString())) earlier.nullified = true;
    }
    const op = { did, operation, cid: CID.parse(cid), nullified: false, createdAt: new Date(createdAt) };
    ops.push(op);
    this.#byDid.set(did, ops);
    this.#all.push(op);
  }
}
