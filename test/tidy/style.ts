import { posix } from "node:path";
import type { Tree } from "./tree.js";
import { importsOf, withoutComments } from "./tree.js";

/** A thing that must not stand in some files, and what to do instead. */
export interface Ban {
  readonly pattern: RegExp;
  readonly instead: string;
  readonly where: RegExp;
  /** Files that may, each with the reason. */
  readonly except?: Readonly<Record<string, string>>;
  /** Look at comments too. */
  readonly inComments?: boolean;
}

/** Folders whose code decides or computes: the same arguments give the same result. */
const PURE =
  /^src\/(base|job|aggregate|codec|kernel|shuffle|plan|scheduler|format|storage|generate|task|testing)\//;
const CODE = /^(src(?!\/kernel\/assembly)|test|examples)\//;
const SRC = /^src\//;

const CLOCK = {
  "src/base/clock.ts": "the clock itself",
  "src/base/pace.ts": "shares a thread; nothing is decided by it",
  "src/task/task-runner.ts": "measures what an attempt took; nothing is decided by it",
  "src/storage/stores.ts":
    "hands them to stores, whose requests are tried again; readers of splits have none",
  "src/testing/store-bench.ts": "hands it to the store under test",
};

export const BANS: readonly Ban[] = [
  {
    pattern: /\b(systemClock\b|Date\.now\(|new Date\(\)|performance\.now\(|process\.hrtime)/,
    instead: "time comes in by argument: take a Clock (base/clock.ts)",
    where: PURE,
    except: CLOCK,
  },
  {
    pattern: /\bMath\.random\b/,
    instead: "randomness comes in by argument: take a Random (base/random.ts)",
    where: PURE,
    except: {
      "src/testing/test-job.ts": "the hint of a message names it",
      "src/storage/stores.ts": "hands it to stores, whose tries it spreads",
    },
  },
  {
    pattern: /\b(setTimeout|setInterval|setImmediate)\(/,
    instead: "waiting belongs to runner/ and cli/; give it an event or a signal instead",
    where: PURE,
    except: {
      "src/storage/stores/sftp-connection.ts": "the silence of a socket, which the socket itself ends",
      "src/storage/stores/webhdfs-client.ts": "the silence of a socket, which the socket itself ends",
      "src/testing/fault-proxy.ts": "lets a socket send before it is cut",
    },
  },
  {
    pattern: /=> setTimeout\((\w+), [^)]+\)\)|\bsetTimeout\b[^;]*"(node:)?timers\/promises"/,
    instead: "tests do not sleep: wait for an event, or with test/kit/wait.ts until something is so",
    where: /^test\/(?!chaos\/)/,
    except: {
      "test/kit/wait.ts": "the place itself",
      "test/cli/cluster-command.test.ts": "a job in its text: it prints until a file is there",
      "test/cli/cluster-jobs.test.ts": "a job in its text: it works until it is killed",
      "test/faults/hostile-code.test.ts": "a job in its text: it does not end",
      "test/faults/user-functions.test.ts": "a job in its text: it waits for another one's file",
      "test/security/cluster-doors.test.ts": "a job in its text: it waits for a file",
      "test/tidy/style.test.ts": "what the check must find",
    },
  },
  {
    pattern: /\bconsole\./,
    instead: "only cli/ speaks to people: return it, throw it, or emit an event",
    where: /^src\/(?!cli\/)/,
  },
  { pattern: /^\s*(export\s+)?(declare\s+)?(const\s+)?enum\s/m, instead: "a union of literals", where: CODE },
  { pattern: /^\s*(export\s+)?(declare\s+)?namespace\s+\w/m, instead: "a module", where: CODE },
  {
    pattern: /^export default\b/m,
    instead: "export by name",
    where: SRC,
    except: {
      "src/cli/command/init/templates.ts": "the text of a job file",
      "src/cli/command/init/kinds.ts": "the text of a job file",
    },
  },
  { pattern: /^@[A-Za-z]/m, instead: "no decorators: they are not erasable", where: CODE },
  {
    pattern: /\b(FIXME|TODO|XXX)\b/,
    instead: "do it, or write an issue",
    where: /^(?!test\/tidy\/)/,
    inComments: true,
  },
  {
    pattern: /(["'`\s(])(\/home\/\w|\/Users\/\w|\/root\/|\/work\/|[A-Z]:\\Users)/,
    instead: "a path of one machine; find it from import.meta.url or take it as an argument",
    where: /^(?!test\/tidy\/)/,
    inComments: true,
  },
];

export function banned(tree: Tree, bans: readonly Ban[] = BANS): string[] {
  const found: string[] = [];
  for (const [path, text] of tree) {
    const code = withoutComments(text);
    for (const { pattern, instead, where, except = {}, inComments = false } of bans) {
      if (!where.test(path) || Object.hasOwn(except, path)) continue;
      const body = inComments ? text : code;
      const at = body.search(pattern);
      if (at < 0) continue;
      const line = body.slice(0, at).split("\n").length;
      found.push(`${path}:${line}: ${pattern.exec(body)![0].trim()}: ${instead}`);
    }
  }
  return found;
}

/** Exceptions that excuse nothing any more. */
export function idleExceptions(tree: Tree, bans: readonly Ban[] = BANS): string[] {
  return bans.flatMap(({ pattern, except = {} }) =>
    Object.keys(except).filter((path) => !pattern.test(withoutComments(tree.get(path) ?? ""))),
  );
}

/** Errors about what the user gave or met whose message alone leaves the user standing. */
export function withoutHint(tree: Tree, except: readonly string[]): string[] {
  const found: string[] = [];
  for (const [path, text] of tree) {
    for (const { index } of text.matchAll(/\bnew SheafError\(/g)) {
      const call = callAt(text, index);
      if (/"(INTERNAL|CANCELLED)"|\bhint\b|\.\.\./.test(call) || except.includes(path)) continue;
      const line = text.slice(0, index).split("\n").length;
      found.push(`${path}:${line}: an error without a hint; say what to do about it`);
    }
  }
  return found;
}

/**
 * The call that begins at `from`, up to the parenthesis that closes it; strings and templates are skipped.
 */
function callAt(text: string, from: number): string {
  const token = /[()]|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g;
  token.lastIndex = from;
  let depth = 0;
  for (let found = token.exec(text); found !== null; found = token.exec(text)) {
    if (found[0] === "(") depth++;
    if (found[0] === ")" && --depth === 0) return text.slice(from, token.lastIndex);
  }
  return text.slice(from);
}

/** Lines longer than that, for which no string, template or expression is to blame: those are not broken. */
export function longLines(tree: Tree, columns: number): string[] {
  const found: string[] = [];
  const literal =
    /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|^\s*\/(?:[^/\\[]|\\.|\[(?:[^\]\\]|\\.)*\])+\/\w*/g;
  for (const [path, text] of tree) {
    for (const [i, line] of text.split("\n").entries()) {
      if (line.length <= columns) continue;
      const isComment = /^\s*(\/\/|\*|\/\*)/.test(line);
      const rest = isComment ? line : line.replaceAll(literal, "``");
      if (rest.length > columns)
        found.push(`${path}:${i + 1}: ${line.length} columns, ${columns} is the most`);
    }
  }
  return found;
}

/** Files nothing imports, of those that are no entry. */
export function orphans(tree: Tree, entries: readonly string[]): string[] {
  const imported = new Set(entries);
  for (const [path, text] of tree) {
    for (const { specifier } of importsOf(text)) {
      if (specifier.startsWith(".")) imported.add(posix.join(posix.dirname(path), specifier));
    }
    // Threads and processes begin with files that scripts/bundle.mjs knows by the end of their names.
    for (const [, started] of text.matchAll(/new URL\("([^"]+-entry)\.js", builtUrl\)/g)) {
      imported.add(`src/${started}.ts`);
    }
  }
  return [...tree.keys()].filter((path) => !imported.has(path));
}
