import { join } from "node:path";
import { packageRoot } from "../cli/support.js";

/** Counts words. */
export const goodJob = `
  import { job, sum, text } from "sheaf";
  export default job({
    input: text(),
    map(line, emit, ctx) {
      ctx.count("lines");
      for (const word of line.match(/\\p{L}+/gu) ?? []) emit(word, 1);
    },
    reduce: sum(),
  });
`;

/** Each of its maps goes on only when all of them run at the same time. */
export function togetherJob(directory: string, maps: number): string {
  return `
    import { readdirSync, writeFileSync } from "node:fs";
    import { job, sum, text } from "sheaf";
    const place = ${JSON.stringify(directory)} + "/";
    const cell = new Int32Array(new SharedArrayBuffer(4));
    export default job({
      input: text(),
      setup(ctx) {
        if (!ctx.task.startsWith("map")) return;
        writeFileSync(place + ctx.task, "");
        for (let n = 0; readdirSync(place).length < ${maps}; n++) {
          if (n > 6000) throw new Error("not all slots run at the same time");
          Atomics.wait(cell, 0, 0, 5);
          ctx.progress();
        }
      },
      map(line, emit) {
        emit("lines", 1);
      },
      reduce: sum(),
    });
  `;
}

/**
 * Speaks in its worker's place: what that would say of its task goes changed, doubled, cut or not at all, to
 * the agent or, in a thread, to the run. Keeps what was said in \`frames\`.
 */
export function hostileJob(directory: string): string {
  const from = (path: string): string => JSON.stringify(join(packageRoot, path));
  return `
    import { mkdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
    import { Socket } from "node:net";
    import { deserialize, serialize } from "node:v8";
    import { MessagePort } from "node:worker_threads";
    import { job, sum, text } from "sheaf";
    import { seededRandom } from ${from("src/base/random.ts")};
    import { anyBytes, mutate, mutateBytes } from ${from("test/fuzz/mutate.ts")};

    const place = ${JSON.stringify(directory)} + "/";
    let random = null;
    let kept = 0;
    const said = [];

    function changed(message) {
      said.push(message);
      const kind = random.below(10);
      if (kind < 2) return message;
      if (kind < 4) return said[random.below(said.length)];
      if (kind < 5) return mutate(random, { kind: "made up", id: 1 }, { as: "clone" });
      return mutate(random, message, { as: "clone" });
    }
    function framed(body, length = body.length) {
      const frame = Buffer.alloc(4 + body.length);
      frame.writeUInt32BE(length >>> 0);
      body.copy(frame, 4);
      return frame;
    }
    function changedFrames(frame) {
      const body = frame.subarray(4);
      mkdirSync(place + "frames", { recursive: true });
      kept++;
      if (kept <= 20) writeFileSync(place + "frames/" + process.pid + "-" + kept, body);
      if (random.below(6) === 0) writeSync(3, anyBytes(random, random.below(500)));
      switch (random.below(8)) {
        case 0: return framed(mutateBytes(random, body));
        case 1: {
          const lengths = [0, body.length - 1, 2 ** 31, 2 ** 32 - 1, body.length + 5];
          return framed(body, lengths[random.below(5)]);
        }
        case 2: return Buffer.concat([frame, framed(serialize(changed(deserialize(body)))), frame]);
        case 3: return anyBytes(random, random.below(5000));
        default: return framed(serialize(changed(deserialize(body))));
      }
    }
    const { write } = Socket.prototype;
    Socket.prototype.write = function (chunk, ...rest) {
      let sent = chunk;
      const isOurs = random !== null && Buffer.isBuffer(chunk) && chunk.length > 4;
      if (isOurs && chunk.readUInt32BE() === chunk.length - 4) {
        try { sent = changedFrames(chunk); } catch {}
      }
      return write.call(this, sent, ...rest);
    };
    const { postMessage } = MessagePort.prototype;
    MessagePort.prototype.postMessage = function (message, ...rest) {
      if (random === null) return postMessage.call(this, message, ...rest);
      try {
        if (random.below(8) === 0) postMessage.call(this, changed(message));
        return postMessage.call(this, changed(message), ...rest);
      } catch {
        return postMessage.call(this, message, ...rest);
      }
    };
    export default job({
      input: text(),
      setup(ctx) {
        random ??= seededRandom(readFileSync(place + "seed", "utf8") + ctx.task + ctx.attempt);
        console.log("begun", ctx.task);
      },
      map(line, emit, ctx) {
        ctx.count("lines");
        if (random.below(50) === 0) console.log(line);
        if (random.below(400) === 0) throw new TypeError("this line is not liked: " + line);
        for (const word of line.match(/[a-z]+/g) ?? []) emit(word, 1);
      },
      reduce: sum(),
      expect: () => true,
    });
  `;
}
