import { build } from "esbuild";
// Makes of the packages that src/vendor/ names what ships in dist/vendor/. What is built in is pinned by
// package-lock.json; its licences are in dist/vendor/LICENSES.txt.
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

/*
 * Fastify as one module, without its test kit. Through the kit, Fastify's own ranges bring a `cookie` that
 * refuses Node 20 to all who install it, and no package can change what its dependencies ask for.
 */

/** What the server never calls, as modules that say so. */
const leftOut = {
  name: "left-out",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(?:light-my-request|yaml)$/ }, ({ path }) => ({ path, namespace: "left-out" }));
    onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({
      contents: `module.exports = () => { throw new Error("${path} is not in sheaf's build of Fastify"); };`,
    }));
  },
};

/** Of undici what the clients use, as its index.js puts it together: that loads all else, too. */
const pools = {
  name: "pools",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^undici$/ }, ({ path }) => ({ path, namespace: "pools" }));
    onLoad({ filter: /.*/, namespace: "pools" }, () => ({
      contents: `
        import Dispatcher from "undici/lib/dispatcher/dispatcher.js";
        import api from "undici/lib/api/index.js";
        export { default as Agent } from "undici/lib/dispatcher/agent.js";
        export { default as EnvHttpProxyAgent } from "undici/lib/dispatcher/env-http-proxy-agent.js";
        export { default as Pool } from "undici/lib/dispatcher/pool.js";
        Object.assign(Dispatcher.prototype, api);`,
      resolveDir: root,
    }));
  },
};

const { metafile, outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ["src/vendor/fastify.ts", "src/vendor/undici.ts"],
  outdir: "dist/vendor",
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  // What a CommonJS module requires of Node.
  banner: {
    js: 'import { createRequire } from "node:module";\nconst require = createRequire(import.meta.url);',
  },
  external: ["pino"],
  plugins: [leftOut, pools],
  metafile: true,
  legalComments: "none",
  write: false,
});

/** Directories of the packages that are built in, in order. */
const packages = new Set();
for (const path of Object.keys(metafile.inputs)) {
  const place = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0];
  if (place !== undefined) packages.add(place);
}
packages.add("node_modules/esbuild");
packages.add("node_modules/typebox");
const licenses = [...packages].sort().map((place) => {
  const { name, version, license } = JSON.parse(readFileSync(join(root, place, "package.json"), "utf8"));
  const file = readdirSync(join(root, place)).find((each) => /^licen[cs]e(?:\.|$)/i.test(each));
  if (license === undefined && file === undefined) throw new Error(`${place} does not say its licence`);
  const text = file === undefined ? "" : `\n\n${readFileSync(join(root, place, file), "utf8").trim()}`;
  return `${name} ${version}: ${license ?? "see below"}${text}\n`;
});

/** By rename: whoever reads the file meanwhile sees the old or the new one whole. */
function put(name, content, built = "dist") {
  const path = join(root, built, "vendor", name);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(`${path}.${process.pid}`, content);
  renameSync(`${path}.${process.pid}`, path);
}
for (const { path, contents } of outputFiles)
  for (const built of ["dist", "modules"]) put(basename(path), contents, built);

/*
 * esbuild as it is: its main.js looks for the binary's package from where it lies itself, in a directory
 * lib/. Only that it lies in a package named esbuild is no longer so.
 */
for (const built of ["dist", "modules"]) put("esbuild/package.json", '{ "type": "commonjs" }\n', built);
const main = readFileSync(join(root, "node_modules/esbuild/lib/main.js"), "utf8");
const itself = 'require.resolve("esbuild")';
if (!main.includes(itself)) throw new Error(`esbuild's main.js has no ${itself} any more`);
for (const built of ["dist", "modules"])
  put("esbuild/lib/main.js", main.replaceAll(itself, "__filename"), built);
put("LICENSES.txt", `Built in, each under its own licence:\n\n${licenses.join(`\n${"-".repeat(72)}\n\n`)}`);

/*
 * Tests load the modules of modules/ one by one. TypeBox's 684 are one there, too, as they are in dist/: what
 * tsc has written names it in place of the package.
 */
const typebox = ["typebox", "typebox/value", "typebox/compile"];
const placeOf = (name) => `typebox/${name.replaceAll("/", "-")}`;
const { outputFiles: typeboxFiles } = await build({
  absWorkingDir: root,
  entryPoints: typebox.map((name) => ({ in: fileURLToPath(import.meta.resolve(name)), out: placeOf(name) })),
  outdir: "modules/vendor",
  chunkNames: "typebox/[name]-[hash]",
  bundle: true,
  splitting: true,
  platform: "node",
  format: "esm",
  target: "node20",
  legalComments: "none",
  write: false,
});
const modules = join(root, "modules");
for (const { path, contents } of typeboxFiles)
  put(relative(join(modules, "vendor"), path), contents, "modules");
for (const name of readdirSync(modules, { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".js") || name.startsWith("vendor")) continue;
  const path = join(modules, name);
  const text = readFileSync(path, "utf8");
  const told = text.replace(/(?<=^(?:import|export)\b[^"';]* from )"(typebox(?:\/\w+)?)"/gm, (_, given) =>
    JSON.stringify(relative(dirname(path), join(modules, "vendor", `${placeOf(given)}.js`))),
  );
  if (told !== text) writeFileSync(path, told);
}
