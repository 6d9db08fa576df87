import { statSync } from "node:fs";
import { join } from "node:path";
import { SheafError } from "../base/errors.ts";
import type { Jobs } from "./jobs.ts";
import type { StoredFile } from "./service.ts";

/** @throws SheafError NOT_FOUND */
export function capsuleFileOf(
  jobs: Jobs,
  id: string,
  task: string,
  file: "capsule" | "code" | "sourceMap",
): StoredFile {
  if (jobs.get(id) === undefined) jobs.findEnded(id);
  const name = /^(sample|map|reduce)-\d{5,7}$/.test(task) ? task : null;
  if (name !== null) {
    const directory = jobs.directoryOf(id);
    const paths = {
      capsule: join(directory, "capsules", name, "capsule.json"),
      code: join(directory, "app", "job.mjs"),
      sourceMap: join(directory, "app", "job.mjs.map"),
    };
    const found = statSync(paths[file], { throwIfNoEntry: false });
    const hasCapsule = statSync(paths.capsule, { throwIfNoEntry: false }) !== undefined;
    if (found !== undefined && hasCapsule) return { path: paths[file], bytes: found.size };
  }
  throw new SheafError("NOT_FOUND", `job ${id} keeps no capsule of "${task.slice(0, 40)}"`, {
    hint: "Only tasks that failed have one; `sheaf show` names them.",
  });
}
