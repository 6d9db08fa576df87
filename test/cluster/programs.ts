import assert from "node:assert/strict";
import { chmodSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { packageRoot, sheafHere } from "../cli/support.js";
import { type OutputTree, treeOf } from "./output-tree.js";
import type { Scene } from "./scene.js";

/* Jobs whose code is in other languages: what `sheaf run` is given, and a whole run of `sheaf stream`. */

export function awkJob(scene: Scene, text: string): readonly string[] {
  const add = 'BEGIN { FS = OFS = "\t" } { n[$1] += $2 } END { for (k in n) print k, n[k] | "sort" }\n';
  scene.file("programs/add.awk", add);
  const file = scene.file(
    "programs/job.ts",
    `import { exec, job, text } from "sheaf";
    const add = exec(["awk", "-f", "add.awk"], { env: { LC_ALL: "C" } });
    const split = exec(["sh", "-c", "tr -cs a-zA-Z '\\\\n' | sed 's/$/\\t1/'"]);
    export default job({ input: text(), files: ["add.awk"], map: split, combine: add, reduce: add });`,
  );
  return [file, text, "--split-size", "500KB", "-p", "3"];
}

/** Its results would tell whether a task saw what another one has changed. */
export function reuseJob(scene: Scene, letters: string): readonly string[] {
  scene.file(
    "reuse/letters.py",
    `import sheaf_worker
seen = []
def letters(record):
    seen.append(1)
    yield sorted(record)[0], len(seen)
sheaf_worker.main(map=letters)
`,
  );
  const words = '["python3", "letters.py", "map", "--protocol", "json"]';
  const file = scene.file(
    "reuse/job.ts",
    `import { exec, job, jsonl, sum } from "sheaf";
    export default job({
      input: jsonl(), files: ["letters.py", ${JSON.stringify(join(packageRoot, "python/sheaf_worker.py"))}],
      map: exec(${words}, { protocol: "json", reuse: true }), reduce: sum(),
    });`,
  );
  const few = readFileSync(letters, "utf8").slice(0, 20_000).replace(/.*$/, "");
  return [file, scene.file("reuse/letters.jsonl", few), "--mappers", "6", "-p", "2"];
}

export async function checkStream(scene: Scene): Promise<void> {
  const add = 'BEGIN { FS = OFS = "\t" } { n += $2 } END { print NR, n }\n';
  const cwd = dirname(scene.file("stream/add.awk", add));
  const split = "tr -cs a-zA-Z '\\n' <$LIST | sed 's/$/\t1/'";
  chmodSync(scene.file("stream/words.sh", `#!/bin/sh\n${split}; cat list | wc -l >&2\n`), 0o755);
  scene.file("stream/list", "b\na\n");
  const mapper = ["-mapper", "./words.sh", "-file", "list", "-cmdenv", "LIST=/dev/stdin"];
  const args = ["stream", "-input", await scene.generated("text", "200KB"), ...mapper];
  const total = ["-partitioner", "TotalOrderPartitioner", "-numReduceTasks", "3"];
  const reducer = ["-reducer", "awk -f add.awk", ...total, "--mappers", "4"];
  const ran = async (on: "local" | "cluster", ...more: string[]): Promise<OutputTree> => {
    const output = scene.path(`stream-${on}-${more.join("")}`);
    const all = [...args, ...reducer, "-output", output, ...more];
    const env = { SHEAF_STATE: scene.cluster.clientState };
    const { code, stderr } = await (on === "local"
      ? sheafHere([...all, "--inline"], { cwd, env })
      : scene.cluster.run(all, { cwd }));
    assert.equal(code, 0, stderr);
    assert.match(stderr, /words\.sh travels with the job/);
    return treeOf(output);
  };
  const expected = await ran("local");
  assert.deepEqual(await ran("cluster"), expected);
  assert.deepEqual(await ran("cluster", "--no-shared"), expected);
  const failed = await scene.cluster.run([...args, "-reducer", "sh -c 'echo lost >&2; exit 7'"], { cwd });
  assert.equal(failed.code, 1);
  assert.match(failed.stderr, /it ended with exit code 7: lost/);
}
