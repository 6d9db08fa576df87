// Makes of src/ the modules of dist/ that users run: few and large, since to read, link and look through
// hundreds of small ones is most of the time that a short command or a worker takes to start. What is loaded
// later (`await import()`) stays apart.
import { build } from "esbuild";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const dist = join(root, "dist");

/**
 * What is run or imported by its path: the doors of the package, what a job's bundle imports, and what
 * threads and processes begin with.
 */
const entries = [
  "index.ts",
  "testing.ts",
  "cli/main.ts",
  "bundle/original-file.ts",
  ...readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((name) =>
    /^\w+\/[\w-]+-entry\.ts$/.test(name),
  ),
];

/** Fastify is a module of its own (scripts/vendor.mjs). All modules lie one directory below dist/. */
const vendor = {
  name: "vendor",
  setup({ onResolve }) {
    onResolve({ filter: /\/vendor\/fastify\.ts$/ }, () => ({ path: "../vendor/fastify.js", external: true }));
  },
};

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: entries.map((name) => `src/${name}`),
  outbase: "src",
  outdir: "dist",
  chunkNames: "lib/[name]-[hash]",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  packages: "external",
  plugins: [vendor],
  sourcemap: "linked",
  sourcesContent: false,
  legalComments: "none",
  // Not by package.json's word: a module that is imported for what it does stays.
  ignoreAnnotations: true,
  logLevel: "warning",
  // What users import is not to be bundled.
  logOverride: { "unsupported-dynamic-import": "silent" },
  write: false,
});

/** By rename: whoever reads the file meanwhile sees the old or the new one whole. */
function put(path, contents) {
  mkdirSync(dirname(path), { recursive: true });
  const aside = `${path}.${process.pid}`;
  writeFileSync(aside, contents);
  if (path.endsWith("main.js")) chmodSync(aside, 0o755);
  renameSync(aside, path);
}

// Chunks first: an entry names the chunks it needs.
const isChunk = ({ path }) => dirname(path) === join(dist, "lib");
for (const file of [...outputFiles.filter(isChunk), ...outputFiles.filter((file) => !isChunk(file))]) {
  if (!existsSync(file.path) || !readFileSync(file.path).equals(file.contents)) put(file.path, file.contents);
}

// What is left of earlier builds would be shipped.
const made = new Set(outputFiles.map(({ path }) => relative(dist, path)));
for (const name of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
  if (/\.js(?:\.map)?$/.test(name) && !name.startsWith("vendor/") && !made.has(name))
    rmSync(join(dist, name), { force: true });
}
