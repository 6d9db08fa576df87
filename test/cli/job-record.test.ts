import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { packageRoot, sheafHere, tempDir } from "./support.js";

test("the record of a job has the fields that docs/job-record.md says, from a run, a failed one and an old one", async (t) => {
  const cwd = tempDir(t);
  const env = { SHEAF_STATE: join(cwd, "state") };
  const source = `import { count, job, text } from "sheaf";
    export default job({
      input: text(),
      map(line, emit) {
        if (line === "bad") throw new Error("bad line");
        emit(line);
      },
      reduce: count(),
    });`;
  writeFileSync(join(cwd, "lines.ts"), source);
  writeFileSync(join(cwd, "good.txt"), "a\n");
  writeFileSync(join(cwd, "bad.txt"), "bad\n");
  const record = async (handle = "@"): Promise<Readonly<Record<string, unknown>>> => {
    const shown = await sheafHere(["show", handle, "--json"], { env });
    return (JSON.parse(shown.stdout) as { record: Readonly<Record<string, unknown>> }).record;
  };
  const words = ["run", "lines.ts", "good.txt", "-o", "out", "-q", "--inline"];
  const ran = await sheafHere([...words, "--once", "--force"], { cwd, env });
  assert.equal(ran.code, 0, ran.stderr);
  const first = await record();
  const page = readFileSync(join(packageRoot, "docs/job-record.md"), "utf8").split("\n## ")[0]!;
  const rows = [...page.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)];
  const documented = rows.flatMap(([, names]) => names!.split(", ").map((name) => name.slice(1, -1)));
  assert.deepEqual(documented.sort(), Object.keys(first).sort());
  const { id, startTime, endTime, submitter, host, ...terms } = first;
  assert.ok([id, startTime, endTime, submitter, host].every((one) => typeof one === "string" && one !== ""));
  assert.deepEqual(terms, {
    type: "mapreduce",
    name: "lines",
    project: null,
    group: null,
    priority: null,
    inputs: ["good.txt"],
    output: join(cwd, "out"),
    runOnce: true,
    force: true,
    keepMs: null,
    submitTime: null,
    status: "SUCCEEDED",
    currentPhase: "finished",
    exception: null,
  });
  await sheafHere(["run", "lines.ts", "bad.txt", "-o", "none", "-q", "--inline"], { cwd, env });
  const failed = await record();
  assert.deepEqual(
    [failed["status"], failed["runOnce"], failed["output"]],
    ["FAILED", false, join(cwd, "none")],
  );
  assert.match(String(failed["exception"]), /bad line/);
  // As an earlier version, and a process that was killed, leave it.
  const path = join(cwd, "state/jobs", String(id), "job.json");
  const {
    settings: _settings,
    endTime: _end,
    ...old
  } = JSON.parse(readFileSync(path, "utf8")) as object & {
    settings: object;
    endTime: string;
  };
  const killed = {
    ...old,
    settings: {},
    endTime: null,
    status: "RUNNING",
    currentPhase: "map",
    pid: 2 ** 30,
  };
  writeFileSync(path, JSON.stringify(killed));
  const left = await record(String(id));
  assert.deepEqual([left["status"], left["currentPhase"], left["force"]], ["FAILED", "map", false]);
  assert.deepEqual(Object.keys(left), Object.keys(first));
});
