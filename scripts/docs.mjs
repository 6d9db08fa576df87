// Writes the pages that are made of the code: docs/cli.md of the flags, docs/limits.md of the tables of
// numbers. Needs dist/. With --check: writes nothing, and fails where a page is not as it would be written.
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { limitsPage } from "./limits-page.mjs";

const at = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const cli = [at("dist/cli/main.js"), "help", "--markdown"];
const pages = {
  "docs/cli.md": execFileSync(process.execPath, cli, { encoding: "utf8" }),
  "docs/limits.md": limitsPage(),
};

for (const [path, text] of Object.entries(pages)) {
  if (!process.argv.includes("--check")) writeFileSync(at(path), text);
  else if (readFileSync(at(path), "utf8") !== text) {
    console.error(`${path} is not what the code says; write it anew: npm run docs`);
    process.exitCode = 1;
  }
}
