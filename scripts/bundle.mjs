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
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { entryPrefix, layersOf } from "./layers.mjs";

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

/**
 * What tests of whole runs and of commands take from the inside ("imports" of package.json says which of it):
 * dist/inside/ has it as it ships, so that their workers start quickly, too. It is loaded as users' commands
 * do it, so that nothing is cut up for it.
 */
const { imports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const taken = Object.keys(imports).flatMap((name) => /^#src\/(\w+\/[\w-]+)\.js$/.exec(name)?.[1] ?? []);
const inside = {
  name: "inside",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^inside:/ }, ({ path }) => ({ path: path.slice(7), namespace: "inside" }));
    onLoad({ filter: /.*/, namespace: "inside" }, ({ path }) => {
      const text = readFileSync(join(root, `src/${path}.ts`), "utf8");
      const values = text.matchAll(/^export (?:async )?(?:function\*?|class|const) (\w+)/gm);
      const names = Array.from(values, ([, name]) => name).join(", ");
      return { contents: `export const { ${names} } = await import("./src/${path}.ts");`, resolveDir: root };
    });
  },
};

/**
 * TypeBox is 684 modules of a few lines: to find, read and link them took longer than all else when a
 * coordinator, an agent or a client of theirs began. scripts/vendor.mjs adds its licence.
 */
const typebox = {
  name: "typebox",
  setup({ onResolve }) {
    onResolve({ filter: /^typebox(?:\/|$)/ }, ({ path }) => ({
      path: fileURLToPath(import.meta.resolve(path)),
    }));
  },
};

/** They are modules of their own (scripts/vendor.mjs). All modules lie one directory below dist/. */
const vendor = {
  name: "vendor",
  setup({ onResolve }) {
    onResolve({ filter: /\/vendor\/(?:fastify|undici)\.ts$/ }, ({ path }) => ({
      path: `../vendor/${basename(path, ".ts")}.js`,
      external: true,
    }));
  },
};

/**
 * Every entry, by its path or by `await import()`, is a module of its own, which loads the layers it needs,
 * then what it stands for.
 */
function entriesWith({ layers, begins }) {
  const load = (path) => {
    const [first] = readFileSync(join(root, path), "utf8").split("\n", 1);
    const shebang = first.startsWith("#!") ? [first] : [];
    const needed = (begins.get(path) ?? []).map((layer) => `import "layer:${layer}";`);
    return [...shebang, ...needed, `export * from "./${path}";`].join("\n");
  };
  return {
    name: "entries",
    setup({ onResolve, onLoad }) {
      onResolve({ filter: /^entry:/ }, ({ path }) => ({
        path: path.slice(entryPrefix.length),
        namespace: "entry",
      }));
      onResolve({ filter: /^\..*\.ts$/ }, ({ path, kind, resolveDir }) =>
        kind === "dynamic-import"
          ? { path: relative(root, join(resolveDir, path)), namespace: "entry" }
          : undefined,
      );
      onLoad({ filter: /.*/, namespace: "entry" }, ({ path }) => ({
        contents: load(path),
        resolveDir: root,
      }));
      onResolve({ filter: /^layer:/ }, ({ path }) => ({ path, namespace: "layer" }));
      onLoad({ filter: /.*/, namespace: "layer" }, ({ path }) => ({
        contents: layers[path.slice(6)].map((module) => `import "./${module}";`).join("\n"),
        resolveDir: root,
      }));
    },
  };
}

const bundle = (layers, more) =>
  build({
    absWorkingDir: root,
    entryPoints: [
      ...entries.map((name) => ({ in: `${entryPrefix}src/${name}`, out: name.replace(/\.ts$/, "") })),
      ...taken.map((name) => ({ in: `inside:${name}`, out: `inside/${name}` })),
    ],
    outdir: "dist",
    chunkNames: "lib/[name]-[hash]",
    bundle: true,
    splitting: true,
    format: "esm",
    platform: "node",
    target: "node20",
    packages: "external",
    plugins: [vendor, inside, typebox, entriesWith(layers)],
    // Not by package.json's word: a module that is imported for what it does stays.
    ignoreAnnotations: true,
    logLevel: "warning",
    // What users import is not to be bundled.
    logOverride: { "unsupported-dynamic-import": "silent" },
    legalComments: "none",
    write: false,
    ...more,
  });

const { metafile } = await bundle({ layers: [], begins: new Map() }, { metafile: true });
const { outputFiles } = await bundle(layersOf(metafile), { sourcemap: "linked", sourcesContent: false });

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
