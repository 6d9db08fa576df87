// Which modules are put together in dist/. To find, read and link a module takes a millisecond, however small
// it is, and a bundler that loads nothing but what is needed cuts src/ into hundreds of them: one for each
// set of entries that share it. So what workers, runs and servers begin with is made into a few layers, and
// what needs a module of a layer is made to need all of it.

/** As esbuild names the module that stands for an entry; entries are what is run or imported by its path. */
export const entryPrefix = "entry:";

/** What needs less than this, bytes, is not made to load what only large ones do. */
const smallBytes = 80 * 1024;

/** What everything begins with. */
const start = ["src/cli/main.ts", "src/worker/heartbeat-entry.ts"];

/** What begins often, or has people wait for it: what of these needs a module decides its layer. */
const large = [
  ["src/worker/worker-entry.ts", "src/worker/process-entry.ts", "src/task/task-runner.ts", "src/index.ts"],
  ["src/hosted/task-entry.ts"],
  ["src/cli/command/run.ts", "src/runner/local-run.ts", "src/runner/run-result.ts"],
  ["src/client/cluster-run.ts"],
  ["src/cli/command/agent/process.ts", "src/agent/agent.ts"],
  ["src/rest/start-coordinator.ts"],
];

/** They do something when they are loaded, or are what others load by name. */
const isDoor = (path) =>
  /-entry\.ts$|^src\/(?:index|testing|cli\/main|cli\/dispatch)\.ts$/.test(path) || path.includes(":");

/** What modules need, and which packages are among that: much to load, those too that are bundled. */
function graphOf(inputs) {
  const imports = (path) =>
    inputs[path].imports
      .filter(({ kind, external }) => kind === "import-statement" && !external)
      .map((one) => one.path);
  const neededBy = (paths) => {
    const needed = new Set();
    for (const todo = [...paths]; todo.length > 0;) {
      const path = todo.pop();
      if (needed.has(path)) continue;
      needed.add(path);
      todo.push(...imports(path));
    }
    return needed;
  };
  const packagesOf = (paths) =>
    new Set(
      [...paths].flatMap((one) => [
        ...(/^node_modules\/[^/]+/.exec(one) ?? []),
        ...inputs[one].imports.flatMap(({ path: name, external }) =>
          external && !name.startsWith("node:") ? [name] : [],
        ),
      ]),
    );
  return { neededBy, packagesOf };
}

/**
 * @param metafile esbuild's, of a build without layers
 * @returns modules by layer, and the layers (their numbers) that each entry begins with, by its path
 */
export function layersOf({ inputs, outputs }) {
  const bytes = new Map();
  for (const output of Object.values(outputs))
    for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) bytes.set(path, bytesInOutput);
  const { neededBy, packagesOf } = graphOf(inputs);
  const needsPackage = (path) => packagesOf(neededBy([path])).size > 0;
  const sizeOf = (paths) => [...paths].reduce((sum, path) => sum + (bytes.get(path) ?? 0), 0);

  const entries = Object.keys(inputs).filter((path) => path.startsWith(entryPrefix));
  const needs = new Map(entries.map((entry) => [entry, neededBy([entry])]));
  const ofStart = neededBy(start);
  const ofSmall = new Set(
    [...needs.values()].filter((one) => sizeOf(one) < smallBytes).flatMap((one) => [...one]),
  );
  const ofLarge = large.map(neededBy);
  const byName = new Map();
  for (const path of new Set([...ofStart, ...ofLarge.flatMap((one) => [...one])])) {
    const name = layerOf(path);
    if (name !== null) byName.set(name, [...(byName.get(name) ?? []), path]);
  }
  const layers = [...byName.values()];

  /** What all begin with; what small entries need, workers and runs, too, or not; else by who needs it. */
  function layerOf(path) {
    if (isDoor(path)) return null;
    if (ofStart.has(path)) return "start";
    const users = ofLarge.flatMap((one, at) => (one.has(path) ? [at] : []));
    if (!ofSmall.has(path)) return users.join();
    if (needsPackage(path)) return null;
    return users.includes(0) || users.includes(2) ? "small, of workers and runs" : "small";
  }

  // No entry is made to load a package that it does not need: what it needs of such a layer stays apart.
  for (const needed of needs.values()) {
    const own = packagesOf(needed);
    for (const [at, layer] of layers.entries())
      if ([...packagesOf(neededBy(layer))].some((name) => !own.has(name)))
        layers[at] = layer.filter((path) => !needed.has(path));
  }
  const below = layers.map((layer) => neededBy(layer));
  const begins = new Map();
  for (const [entry, needed] of needs) {
    const all = new Set(needed);
    const taken = new Set();
    for (let isMore = true; isMore;) {
      isMore = false;
      for (const [at, layer] of layers.entries()) {
        if (taken.has(at) || !layer.some((path) => all.has(path))) continue;
        taken.add(at);
        for (const path of below[at]) all.add(path);
        isMore = true;
      }
    }
    begins.set(entry.slice(entryPrefix.length), [...taken].sort());
  }
  return { layers, begins };
}
