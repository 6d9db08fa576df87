import assert from "node:assert/strict";
import { BUCKET, type S3Server } from "../storage/s3-server.js";
import type { OutputTree } from "./output-tree.js";
import type { Scene } from "./scene.js";

/** Outputs below s3://BUCKET/open/, which the agents write and take over from. */
export async function storedIsKnown(
  scene: Scene,
  s3: S3Server,
  stored: (prefix: string) => Promise<OutputTree>,
): Promise<void> {
  const job = scene.file(
    "kept.ts",
    `import { collect, job, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit) {
        if (line === "bad") throw new Error("no");
        emit.words(line.split(" ")[0], line);
        emit.raw(line, line.length);
      },
      collections: { words: { reduce: collect() }, raw: {} },
    });`,
  );
  const at = (name: string): string => `s3://${BUCKET}/open/${name}/`;
  const put = (name: string, text: string): Promise<void> => s3.put(`open/in/${name}`, Buffer.from(text));
  for (const name of ["a", "b", "c"]) await put(name, `${name} one\n${name} two\n`);
  const run = async (...more: string[]) => {
    const words = ["run", job, at("in"), "-p", "2", "--max-bad", "9", ...more];
    const { code, stderr } = await scene.cluster.run(words);
    assert.equal(code, 0, stderr);
    return stderr;
  };
  await run("-o", at("once"));
  const written = await stored("open/once/");
  assert.match(await run("-o", at("once"), "--once"), /nothing had to be run/);
  assert.deepEqual(await stored("open/once/"), written);

  const go = async (name: string, mapped: RegExp, ...more: string[]): Promise<void> => {
    assert.match(await run("-o", at("kept"), "--incremental", "--explain", ...more), mapped, name);
    await run("-o", at("full"), "--overwrite", "--on", "local", "--inline");
    // How files of map tasks are cut is another matter.
    const told = async (output: string) => {
      const files = Object.entries(await stored(`open/${output}/`));
      const raw = files.flatMap(([file]) =>
        file.startsWith("raw/") ? [s3.get(`open/${output}/${file}`)] : [],
      );
      return [
        Object.fromEntries(files.filter(([file]) => /^(?:words|_bad)\//.test(file))),
        Buffer.concat(await Promise.all(raw)).toString(),
      ];
    };
    assert.deepEqual(await told("kept"), await told("full"), name);
  };
  await go("first", /nothing is kept of an earlier run/);
  await put("b", "b three\nbad\n");
  await put("d", "d one\n");
  await go("second", /2 map tasks of the run before kept/);
  await put("e", "e one\n");
  // What the cluster has kept is taken over on one machine, and the other way round.
  await go("here", /4 map tasks of the run before kept/, "--on", "local");
  await put("f", "f one\n");
  await go("there", /5 map tasks of the run before kept/);
  const runs = (await s3.keys("open/kept/_state/")).filter((key) => key.endsWith(".run"));
  assert.equal(runs.length, 6);
  await s3.put(runs[0]!, Buffer.from("no run"));
  await s3.remove(runs[1]!);
  await go("damaged", /6 map tasks of the run before kept/);

  const pipe = scene.file(
    "pipe.ts",
    `import { count, from, job, pipeline, sum, text } from "sheaf";
    const words = job({ input: text(), map: (line) => [[line.split(" ")[0], 1]], reduce: sum() });
    const times = job({ input: from(words), map: ([, n]) => [[n, 1]], reduce: count() });
    export default pipeline({ words, times });`,
  );
  const piped = await scene.cluster.run(["run", pipe, at("in"), "-o", at("piped"), "-p", "1"]);
  assert.equal(piped.code, 0, piped.stderr);
  assert.deepEqual(Object.keys(await stored("open/piped/")), ["_SUCCESS", "times/part-00000.tsv"]);
  assert.equal((await s3.get("open/piped/times/part-00000.tsv")).toString(), "1\t5\n2\t2\n");
}
