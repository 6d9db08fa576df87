// Many small files and a Python program with modules to load: a process for each, and one for many.
//   node bench/reuse.mjs [FILES] [ROUNDS]
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [files, rounds] = [Number(process.argv[2] ?? 200), Number(process.argv[3] ?? 3)];
const here = fileURLToPath(new URL("../", import.meta.url));
const root = mkdtempSync(join(tmpdir(), "sheaf-bench-reuse-"));
process.on("exit", () => rmSync(root, { recursive: true, force: true }));

mkdirSync(join(root, "in"));
for (let i = 0; i < files; i++) {
  const lines = Array.from({ length: 20 }, (_, n) => `{"key":"k${(i * n) % 50}","n":${n}}`);
  writeFileSync(join(root, "in", `${i}.jsonl`), `${lines.join("\n")}\n`);
}
writeFileSync(
  join(root, "keys.py"),
  `import asyncio, decimal, email.mime.text, sqlite3, unittest, xml.dom.minidom
import sheaf_worker
sheaf_worker.main(map=lambda record: [(record["key"], record["n"])])
`,
);
writeFileSync(
  join(root, "keys.mjs"),
  `import { exec, job, jsonl, sum } from "sheaf";
export default job({
  input: jsonl(),
  files: ["keys.py", ${JSON.stringify(join(here, "python/sheaf_worker.py"))}],
  map: exec(["python3", "keys.py", "map", "--protocol", "json"], { protocol: "json", reuse: REUSE }),
  reduce: sum(),
  partitions: 1,
});
`,
);

function seconds(reuse) {
  const job = join(root, `keys-${reuse}.mjs`);
  writeFileSync(job, readFileSync(join(root, "keys.mjs"), "utf8").replace("REUSE", String(reuse)));
  const out = join(root, "out");
  rmSync(out, { recursive: true, force: true });
  const args = [join(here, "dist/cli/main.js"), "run", job, join(root, "in"), "-o", out, "--quiet"];
  const start = performance.now();
  const env = { ...process.env, SHEAF_STATE: join(root, "state") };
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", env });
  if (status !== 0) throw new Error(stderr);
  const took = (performance.now() - start) / 1000;
  return [
    took,
    createHash("sha256")
      .update(readFileSync(join(out, "part-00000.tsv")))
      .digest("hex"),
  ];
}

for (let round = 1; round <= rounds; round++) {
  const [each, one] = [seconds(false), seconds(true)];
  if (each[1] !== one[1]) throw new Error("the outputs differ");
  console.log(
    `round ${round}, ${files} files: a process for each ${each[0].toFixed(2)} s, ` +
      `one for many ${one[0].toFixed(2)} s, ${(each[0] / one[0]).toFixed(1)} times`,
  );
}
