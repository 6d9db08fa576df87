// Fails when a package of package-lock.json wants to run a script while it is installed, comes from elsewhere
// than a registry, or has no checksum that pins it. A package that works without its script is listed below.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Name to the reason why its script need not run. */
const harmless = new Map([
  ["esbuild", "its script only checks the binary that comes as an optional package"],
  ["ssh2", "its script builds a cipher that Node's own crypto has, too; for tests, and an optional peer"],
  ["cpu-features", "optional for ssh2, which does without"],
]);

const path = process.argv[2] ?? fileURLToPath(new URL("../package-lock.json", import.meta.url));
const { packages } = JSON.parse(readFileSync(path, "utf8"));
const wrong = [];
let count = 0;
for (const [place, entry] of Object.entries(packages)) {
  if (place === "" || entry.link === true) continue;
  count++;
  const name = place.replace(/^.*node_modules\//, "");
  const what = `${name} ${entry.version}`;
  if (entry.hasInstallScript === true && !harmless.has(name))
    wrong.push(`${what} runs a script when it is installed`);
  // Where the lock file does not say, it is the registry that npm is set up with.
  const { resolved = "https://registry.npmjs.org/" } = entry;
  if (!resolved.startsWith("https://registry.npmjs.org/")) wrong.push(`${what} comes from ${resolved}`);
  if (!(entry.integrity ?? "").startsWith("sha512-")) wrong.push(`${what} has no checksum`);
}
if (count === 0) wrong.push(`${path} lists no packages`);
for (const line of wrong) console.error(line);
if (wrong.length > 0) {
  console.error("Choose packages that install without scripts (ARCHITECTURE.md, Dependencies).");
  process.exit(1);
}
console.log(`${count} packages, none of which runs a script that is needed`);
