import fc from "fast-check";
import assert from "node:assert/strict";
import { mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { makeJobId } from "#src/engine/job-directory.js";
import { formatAttempt, formatTask } from "#src/scheduler/ids.js";
import { checkId, isId } from "#src/security/ids.js";
import type { IdKind } from "#src/security/ids.js";
import { insideRoots } from "#src/security/inside-roots.js";
import { tempDir } from "../cli/support.js";
import { anyText, refuses, rejects } from "./support.js";
import { traversals } from "./traversals.js";

interface Place {
  readonly base: string;
  /** Open to jobs: has in.txt, deep/in.txt, and links. */
  readonly root: string;
  /** Beside it, with a name that begins as the root's does. */
  readonly outside: string;
}

function place(t: TestContext): Place {
  const base = tempDir(t);
  const [root, outside] = [join(base, "data"), join(base, "data-private")];
  mkdirSync(join(root, "deep"), { recursive: true });
  mkdirSync(outside);
  writeFileSync(join(root, "in.txt"), "in");
  writeFileSync(join(root, "deep/in.txt"), "in");
  writeFileSync(join(outside, "secret.txt"), "secret");
  return { base, root, outside };
}

test("inputs and outputs of jobs lie inside a root, however they are written", async (t) => {
  const { base, root, outside } = place(t);
  for (const path of [
    root,
    join(root, "in.txt"),
    join(root, "deep/in.txt"),
    `${root}/./deep//in.txt`,
    join(root, "new/dir/out"),
  ])
    assert.equal(await insideRoots(path, [root]), join(path));
  const out: readonly string[] = [
    "/etc/passwd",
    "/",
    base,
    outside,
    join(outside, "secret.txt"),
    `${root}/../data-private/secret.txt`,
    `${root}/deep/../../data-private/secret.txt`,
    `${root}/..`,
    `${root}x`,
    "in.txt",
    "./in.txt",
    "~/in.txt",
    "",
    ".",
    `${root}\u0000/in.txt`,
    `${root}/in.txt\u0000`,
    `${root}/%2e%2e/data-private/secret.txt`,
    `${root}/..%2fdata-private`,
    `${root}/deep%2f..%2f..%2fdata-private`,
    `${root}/%252e%252e/data-private`,
    `${root}\\..\\data-private`,
    `file://${root}/in.txt`,
    `/proc/self/root${outside}/secret.txt`,
    "/proc/self/environ",
    "/dev/stdin",
    `${root}/${"x".repeat(5_000)}`,
  ];
  for (const path of out) await rejects(() => insideRoots(path, [root]), "FORBIDDEN", /is refused/);
  assert.ok(out.length >= 20);
  // Relative to whose directory? Not even when it is a root.
  await rejects(() => insideRoots("package.json", [process.cwd()]), "FORBIDDEN", /it is relative/);
});

test("links inside a root may lead about in it, and never out of it", async (t) => {
  const { root, outside } = place(t);
  symlinkSync("deep/in.txt", join(root, "inner"));
  symlinkSync("../data-private", join(root, "out"));
  symlinkSync("/etc/passwd", join(root, "passwd"));
  symlinkSync(join(outside, "later"), join(root, "dangling"));
  symlinkSync(join(root, "loop"), join(root, "loop"));
  symlinkSync("/proc/self/cwd", join(root, "cwd"));
  symlinkSync("out", join(root, "twice"));
  assert.equal(await insideRoots(join(root, "inner"), [root]), join(root, "deep/in.txt"));
  for (const name of [
    "out",
    "out/secret.txt",
    "out/new",
    "passwd",
    "dangling",
    "dangling/x",
    "loop",
    "loop/x",
    "cwd",
    "twice/secret.txt",
    "in.txt/x",
    "inner/x",
  ]) {
    await rejects(() => insideRoots(join(root, name), [root]), "FORBIDDEN", /is not inside/);
  }
});

test("a root that is a link stands for what it points at; one that is missing opens nothing", async (t) => {
  const { base, root, outside } = place(t);
  const link = join(base, "link");
  symlinkSync(root, link);
  assert.equal(await insideRoots(join(link, "in.txt"), [link]), join(root, "in.txt"));
  assert.equal(await insideRoots(join(root, "in.txt"), [link]), join(root, "in.txt"));
  assert.equal(await insideRoots(join(root, "in.txt"), ["/nowhere", root]), join(root, "in.txt"));
  await rejects(() => insideRoots("/nowhere/x", ["/nowhere"]), "FORBIDDEN", /is not inside/);
  await rejects(() => insideRoots(join(outside, "x"), [link]), "FORBIDDEN", /is not inside/);
  const none = await rejects(
    () => insideRoots(join(root, "in.txt"), []),
    "FORBIDDEN",
    /no directory is open/,
  );
  assert.match(none.hint!, /--root/);
  assert.equal(
    await insideRoots("/etc/hostname-that-is-not", ["/"]),
    `${realpathSync("/etc")}/hostname-that-is-not`,
  );
});

test("whether something outside exists does not show", async (t) => {
  const { root, outside } = place(t);
  symlinkSync(outside, join(root, "out"));
  const said = async (path: string): Promise<string> =>
    (await rejects(() => insideRoots(path, [root]), "FORBIDDEN", /./)).message.replaceAll(path, "");
  for (const [there, missing] of [
    [join(outside, "secret.txt"), join(outside, "nothing.txt")],
    [join(root, "out/secret.txt"), join(root, "out/nothing.txt")],
    ["/etc/passwd", "/etc/no/such"],
  ] as const)
    assert.equal(
      (await said(there)).replace(JSON.stringify(there), ""),
      (await said(missing)).replace(JSON.stringify(missing), ""),
    );
});

test("ids are of one form, which no path, URL or header can be", () => {
  const good: Readonly<Record<IdKind, readonly string[]>> = {
    job: ["20260101-101010123-name-abcd", "20260101-101010123-a-2345", "20260101-101010123-a-b-c-abcd"],
    task: ["map-00000", "reduce-99999", "sample-00000", "map-100000", "map-1234567"],
    attempt: ["map-00001.1", "reduce-123456.987654321"],
    agent: ["a", "node-1.example.org", "A_b", "x".repeat(64)],
    bundle: ["0123456789abcdef"],
    blob: ["0".repeat(64)],
    collection: ["byCity", "a-b_c", "A"],
    part: ["part-00000.tsv", "part-00000.tsv.gz", "0"],
  };
  const near: Readonly<Record<IdKind, readonly string[]>> = {
    job: [
      "20260101-101010123-Name-abcd",
      "20260101-101010123-abcd",
      "2026011-101010123-a-abcd",
      "20260101-101010123-a-abc1",
      "20260101-101010123--abcd",
      `20260101-101010123-${"a".repeat(31)}-abcd`,
    ],
    task: ["map-0", "map-000000", "Map-00000", "map-00000.1", "map-12345678", "map--0001", "map-٠٠٠٠٠"],
    attempt: ["map-00001", "map-00001.0", "map-00001.01", "map-00001.", "map-00001.1.1", "map-00001.-1"],
    agent: ["", "-a", ".a", "..", "a b", "a/b", "x".repeat(65), "ä"],
    bundle: ["0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0"],
    blob: ["0".repeat(63), "0".repeat(65), "g".repeat(64)],
    collection: ["", "1a", "a.b", "a/b", "__proto__", "-a"],
    part: ["", ".part", "_SUCCESS", "a/b", "-rf", "x".repeat(201)],
  };
  for (const kind of Object.keys(good) as IdKind[]) {
    for (const text of good[kind]) assert.equal(checkId(kind, text), text);
    const bad = [
      ...near[kind],
      ...traversals,
      ...good[kind].flatMap((text) => [`${text}\n`, ` ${text}`, `${text}\u0000`, `${text}/`, `../${text}`]),
    ];
    for (const text of bad) {
      assert.equal(isId(kind, text), false, `${kind} ${JSON.stringify(text)}`);
      refuses(
        () => checkId(kind, text),
        "MESSAGE_INVALID",
        new RegExp(`is no ${kind === "blob" ? "hash" : kind} id`),
      );
    }
  }
});

test("what sheaf itself calls jobs, tasks and attempts are ids", () => {
  fc.assert(
    fc.property(
      anyText,
      fc.nat({ max: 9_999_999 }),
      fc.integer({ min: 1, max: 1e8 }),
      (name, task, attempt) => {
        assert.ok(isId("job", makeJobId(name, 1_770_000_000_000, Math.random)));
        const ref = { job: "", phase: "map", task, attempt } as const;
        assert.ok(isId("task", formatTask(ref)));
        assert.ok(isId("attempt", formatAttempt(ref)));
      },
    ),
  );
});
