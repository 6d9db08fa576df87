import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { linksOf } from "./links.js";
import { read, root } from "./tree.js";

/** Paths of what npm would publish. */
const shipped: ReadonlySet<string> = (() => {
  const { status, stdout, stderr } = spawnSync("npm", ["pack", "--dry-run", "--json"], {
    cwd: root,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
  const [packed] = JSON.parse(stdout) as readonly [{ readonly files: readonly { readonly path: string }[] }];
  return new Set(packed.files.map(({ path }) => path));
})();

interface Manifest {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly optionalDependencies: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
}
const manifest = (path: string): Manifest => JSON.parse(read(path)) as Manifest;

test("the package has what it needs to run, types, examples and documents, and no more", () => {
  for (const path of [
    "dist/index.js",
    "dist/index.d.ts",
    "dist/testing.js",
    "dist/cli/main.js",
    "dist/kernel/kernels.wasm",
    "dist/vendor/fastify.js",
    "dist/vendor/esbuild/lib/main.js",
    "dist/vendor/LICENSES.txt",
    "examples/wordcount.ts",
    "python/sheaf_worker.py",
    "docs/job-api.md",
    "README.md",
    "LICENSE",
  ])
    assert.ok(shipped.has(path), `missing from the package: ${path}`);
  const wrong = [...shipped].filter(
    (path) => !/^(?:dist|src|docs|examples|python)\/|^[A-Z]+(?:\.md)?$|^package\.json$/.test(path),
  );
  assert.deepEqual(wrong, []);
  assert.deepEqual(
    [...shipped].filter((path) => /\.test\.|\.tgz$|\.\d+$/.test(path)),
    [],
  );
});

test("every source map of the package names sources that are in it", () => {
  const maps = [...shipped].filter((path) => path.endsWith(".map"));
  assert.ok(maps.length > 100);
  for (const path of maps) {
    const { sources } = JSON.parse(read(path)) as { readonly sources: readonly string[] };
    // What of a package is bundled has its source there.
    for (const source of sources.filter((one) => !one.includes("/node_modules/")))
      assert.ok(shipped.has(join(dirname(path), source)), `${path} names ${source}`);
  }
  for (const path of shipped) {
    const map = path.endsWith(".js") && /^\/\/# sourceMappingURL=(.*)$/m.exec(read(path))?.[1];
    if (map) assert.ok(shipped.has(join(dirname(path), map)), `${path} names ${map}`);
  }
});

test("links of the package's documents lead to files that are in it", () => {
  const pages = [...shipped].filter((path) => path.endsWith(".md"));
  assert.ok(pages.length > 10);
  const broken = pages.flatMap((page) =>
    linksOf(read(page)).flatMap(({ file }) => {
      const place = join(dirname(page), file).replace(/\/$/, "");
      const isThere =
        file === "" || shipped.has(place) || [...shipped].some((path) => path.startsWith(`${place}/`));
      return isThere
        ? []
        : [`${page}: ${file} does not ship: write it as code, \`${place}\`, without a link`];
    }),
  );
  assert.deepEqual(broken, []);
});

test("no script of the package's own, nor of what it depends on, would run while it is installed", () => {
  const { scripts } = manifest("package.json");
  for (const name of ["preinstall", "install", "postinstall", "prepare", "prepublish"])
    assert.equal(scripts[name], undefined, name);
  const lock = JSON.parse(read("package-lock.json")) as {
    readonly packages: Readonly<
      Record<string, { readonly dev?: boolean; readonly hasInstallScript?: boolean }>
    >;
  };
  const running = Object.entries(lock.packages).filter(
    ([, { dev, hasInstallScript }]) => !dev && hasInstallScript,
  );
  assert.deepEqual(running, []);
});

test("esbuild's binaries are those of the esbuild that is built in", () => {
  const esbuild = manifest("node_modules/esbuild/package.json");
  assert.deepEqual(manifest("package.json").optionalDependencies, esbuild.optionalDependencies);
  assert.match(
    readFileSync(join(root, "dist/vendor/LICENSES.txt"), "utf8"),
    new RegExp(`^esbuild ${esbuild.version}: MIT`, "m"),
  );
});

test("Fastify is built in without its test kit, undici without fetch; all packages in them have their licences there", () => {
  const texts = [read("dist/vendor/fastify.js"), read("dist/vendor/undici.js")] as const;
  assert.doesNotMatch(texts[0], /node_modules\/(?:light-my-request|cookie|yaml)\//);
  assert.doesNotMatch(texts[1], /node_modules\/undici\/(?:index|lib\/web\/fetch\/index|lib\/mock\/.*)\.js$/m);
  const licenses = read("dist/vendor/LICENSES.txt");
  const names = new Set(
    [...texts.join("\n").matchAll(/^\/\/ (?:.*\/)?node_modules\/((?:@[^/]+\/)?[^/]+)\//gm)].map(
      ([, name]) => name!,
    ),
  );
  assert.ok(names.has("fastify") && names.has("undici") && names.size > 20);
  for (const name of names) assert.match(licenses, new RegExp(`^${name.replaceAll(".", "\\.")} \\d`, "m"));
});

test("a run on this machine begins without the packages of clusters: each takes longer than a small job", () => {
  const packages = new Set<string>();
  const seen = new Set<string>();
  const follow = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const [, name] of read(path).matchAll(/^(?:import |.* from )"([^"]+)";$/gm)) {
      if (/^\.\.?\/(?!vendor\/)/.test(name!)) follow(join(dirname(path), name!));
      else if (!name!.startsWith("node:")) packages.add(name!);
    }
    for (const [, name] of read(path).matchAll(/^\/\/ node_modules\/((?:@[^/]+\/)?[^/]+)\//gm))
      packages.add(name!);
  };
  const begins = ["run", "local-run", "run-result", "worker-thread"];
  const entries = [...shipped].filter((path) => {
    const name = /^dist\/lib\/(.+)-[A-Z0-9]{8}\.js$/.exec(path)?.[1];
    return name !== undefined && begins.includes(name);
  });
  // Of a command and of the API there is a run each.
  assert.equal(entries.length, begins.length + 1);
  for (const entry of ["dist/cli/main.js", "dist/worker/worker-entry.js", ...entries]) follow(entry);
  assert.ok(seen.size > 15);
  assert.deepEqual([...packages], ["fast-string-truncated-width"]);
});
