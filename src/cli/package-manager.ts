import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

/** How a package manager is told to do what `sheaf init` says comes next. */
export interface PackageManager {
  readonly name: "npm" | "pnpm" | "yarn" | "bun";
  readonly install: string;
  /** Followed by NAME@WHERE. */
  readonly add: string;
  readonly addForDevelopment: string;
  /** Followed by the name of a script. */
  readonly script: string;
  /** Followed by a command of a package that is installed. */
  readonly execute: string;
}

const managers: Readonly<Record<PackageManager["name"], PackageManager>> = {
  npm: {
    name: "npm",
    install: "npm install",
    add: "npm install",
    addForDevelopment: "npm install -D",
    script: "npm run",
    execute: "npx",
  },
  pnpm: {
    name: "pnpm",
    install: "pnpm install",
    add: "pnpm add",
    addForDevelopment: "pnpm add -D",
    script: "pnpm run",
    execute: "pnpm exec",
  },
  yarn: {
    name: "yarn",
    install: "yarn install",
    add: "yarn add",
    addForDevelopment: "yarn add -D",
    script: "yarn run",
    execute: "yarn",
  },
  bun: {
    name: "bun",
    install: "bun install",
    add: "bun add",
    addForDevelopment: "bun add -d",
    script: "bun run",
    execute: "bunx",
  },
};

/** By file name, the nearest directory first. */
const locks: readonly (readonly [file: string, name: PackageManager["name"]])[] = [
  ["package-lock.json", "npm"],
  ["npm-shrinkwrap.json", "npm"],
  ["pnpm-lock.yaml", "pnpm"],
  ["pnpm-workspace.yaml", "pnpm"],
  ["yarn.lock", "yarn"],
  ["bun.lock", "bun"],
  ["bun.lockb", "bun"],
];

/**
 * The package manager of a directory: the one its package.json names, or whose lock file lies there or above;
 * else the one that runs this command; else npm.
 * @param userAgent $npm_config_user_agent: "pnpm/9.1.0 npm/? node/v22.1.0 linux x64"
 */
export function packageManagerOf(directory: string, userAgent: string | undefined): PackageManager {
  for (let at = directory; ; at = dirname(at)) {
    const named = namedIn(join(at, "package.json"));
    if (named !== undefined) return managers[named];
    for (const [file, name] of locks) if (existsSync(join(at, file))) return managers[name];
    if (dirname(at) === at) break;
  }
  return managers[nameAt(userAgent ?? "") ?? "npm"];
}

/** The field that corepack reads: "pnpm@9.1.0+sha512.abc". */
function namedIn(path: string): PackageManager["name"] | undefined {
  try {
    const { packageManager } = JSON.parse(readFileSync(path, "utf8")) as {
      readonly packageManager?: unknown;
    };
    return typeof packageManager === "string" ? nameAt(packageManager) : undefined;
  } catch {
    return undefined;
  }
}

function nameAt(text: string): PackageManager["name"] | undefined {
  return (["npm", "pnpm", "yarn", "bun"] as const).find((name) => new RegExp(`^${name}[@/]`).test(text));
}
