import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { resolveJob } from "#src/cli/project-file.js";
import { tempDir } from "./support.js";

function project(t: Parameters<typeof tempDir>[0], content: string): string {
  const root = tempDir(t);
  mkdirSync(join(root, "jobs/deep"), { recursive: true });
  writeFileSync(join(root, "sheaf.json"), content);
  writeFileSync(join(root, "jobs/wordcount.ts"), "");
  return root;
}

test("a registered name is found from any directory below, a path from where one is", (t) => {
  const root = project(t, '{ "jobs": { "wordcount": "./jobs/wordcount.ts" } }');
  const file = join(root, "jobs/wordcount.ts");
  assert.deepEqual(resolveJob("wordcount", join(root, "jobs/deep")), {
    file,
    name: "wordcount",
    external: [],
  });
  assert.deepEqual(resolveJob("../wordcount.ts", join(root, "jobs/deep")), {
    file,
    name: undefined,
    external: [],
  });
  assert.deepEqual(resolveJob(file, "/"), { file, name: undefined, external: [] });
});

test("a misspelt name or file gets a suggestion", (t) => {
  const root = project(t, '{ "jobs": { "wordcount": "./jobs/wordcount.ts", "visits": "v.ts" } }');
  const refused = (word: string, cwd: string, hint: string): void => {
    assert.throws(() => resolveJob(word, cwd), { code: "USAGE", hint }, word);
  };
  refused("wordcuont", root, "Did you mean wordcount?");
  refused("jobs/wordcuont.ts", root, "Did you mean jobs/wordcount.ts?");
  refused(
    "wordcount.ts",
    root,
    "Give the path of a TypeScript or JavaScript file whose default export is job({...}).",
  );
  refused(
    "qqqqqqqq",
    root,
    `${join(root, "sheaf.json")} lists: wordcount, visits. A job may also be given by its path.`,
  );
});

test("without sheaf.json the name of a file beside one is understood as such", (t) => {
  const root = tempDir(t);
  writeFileSync(join(root, "sheaf.json"), "{}");
  writeFileSync(join(root, "count.mts"), "");
  assert.throws(() => resolveJob("count", root), { hint: "Did you mean count.mts?" });
});

test("a project file that is none is refused, named", (t) => {
  for (const content of ["{", "[]", '{ "jobs": [] }', '{ "jobs": { "a": 1 } }']) {
    const root = project(t, content);
    assert.throws(
      () => resolveJob("a", root),
      { code: "USAGE", message: new RegExp(`^${root}/sheaf.json: `) },
      content,
    );
  }
});
