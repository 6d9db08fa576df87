import { execFile } from "node:child_process";
import { accessSync, constants, existsSync, readFileSync, statfsSync } from "node:fs";
import { arch, availableParallelism, cpus, freemem, platform, release, tmpdir, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { SheafError, describeThrown } from "../../../base/errors.ts";
import { isExecutable, placesInPath } from "../../../base/programs.ts";
import { formatSize } from "../../../base/size.ts";

/** One thing that was looked at. */
export interface Finding {
  readonly about: string;
  /** fail: sheaf does not work so. warn: it does, with what `todo` says in mind. */
  readonly status: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do; null where nothing is. */
  readonly todo: string | null;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const GiB = 1024 ** 3;
const nodeOldest = [20, 19] as const;
const programMs = 30_000;

export function ok(about: string, found: string): Finding {
  return { about, status: "ok", found, todo: null };
}

export function warn(about: string, found: string, todo: string): Finding {
  return { about, status: "warn", found, todo };
}

export function fail(about: string, found: string, todo: string): Finding {
  return { about, status: "fail", found, todo };
}

/** `fail` of an error, with its own hint. */
export function failedCheck(about: string, error: unknown): Finding {
  const hint = error instanceof SheafError ? error.hint : undefined;
  return fail(about, describeThrown(error), hint ?? "See what the error says.");
}

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  const isOld = major < nodeOldest[0] || (major === nodeOldest[0] && minor < nodeOldest[1]);
  if (isOld) return fail("node", version, `Install Node ${nodeOldest.join(".")} or newer.`);
  return ok("node", `${version}, ${process.execPath}`);
}

/** The C library: what is shipped to other machines with Node must find as new a one there. */
export function checkPlatform(): Finding {
  const { report } = process;
  // Else names of all open connections are looked up. Node 20 and its types do not have it everywhere.
  Object.assign(report, { excludeNetwork: true });
  const { header } = report.getReport() as { readonly header: { readonly glibcVersionRuntime?: string } };
  const glibc = header.glibcVersionRuntime;
  const libc = platform() !== "linux" ? "" : glibc === undefined ? ", no glibc (musl?)" : `, glibc ${glibc}`;
  return ok("platform", `${platform()} ${release()} ${arch()}${libc}`);
}

/** Packages with native parts, which a package manager may have left out. */
export async function checkNatives(): Promise<Finding> {
  const packages = {
    "lz4-napi": () => import("lz4-napi"),
    "@node-rs/crc32": () => import("@node-rs/crc32"),
  };
  for (const [name, load] of Object.entries(packages)) {
    try {
      await load();
    } catch (error) {
      const todo = "Install again, with optional dependencies, on this kind of machine.";
      return fail("native packages", `${name}: ${describeThrown(error).split("\n")[0]}`, todo);
    }
  }
  return ok("native packages", Object.keys(packages).join(", "));
}

/** Limits of Linux's control groups, version 2 and 1; null: none. */
export interface GroupLimits {
  readonly cores: number | null;
  readonly memoryBytes: number | null;
}

export function readGroupLimits(root = "/sys/fs/cgroup", own = ownGroup()): GroupLimits {
  const read = (path: string): string => {
    for (const place of [join(root, own), root]) {
      try {
        return readFileSync(join(place, path), "utf8").trim();
      } catch {
        // Of the other version, or of no group.
      }
    }
    return "";
  };
  const [quota = "", period = ""] = read("cpu.max").split(" ");
  const old = [read("cpu/cpu.cfs_quota_us"), read("cpu/cpu.cfs_period_us")];
  const cores = Number(quota === "" ? old[0] || "-1" : quota) / Number(period || old[1] || "1");
  const text = read("memory.max") || read("memory/memory.limit_in_bytes");
  const bytes = Number(text === "" || text === "max" ? Number.NaN : text);
  return {
    cores: cores > 0 && Number.isFinite(cores) ? cores : null,
    // Without a limit the first version says a number that no machine has.
    memoryBytes: bytes > 0 && bytes < 2 ** 60 ? bytes : null,
  };
}

function ownGroup(): string {
  try {
    return /^0::(\/.*)$/m.exec(readFileSync("/proc/self/cgroup", "utf8"))?.[1] ?? "";
  } catch {
    return "";
  }
}

export function checkCores({ cores }: GroupLimits): Finding {
  const usable = availableParallelism();
  const text = `${usable} of ${cpus().length || usable} for this process`;
  if (cores === null || cores >= usable) return ok("cores", text);
  const share = Math.max(1, Math.floor(cores));
  return warn(
    "cores",
    `${text}, of which its control group lets it use ${cores}`,
    `Say so: --workers ${share} for runs here, --slots ${share} for an agent.`,
  );
}

export function checkMemory({ memoryBytes }: GroupLimits): Finding {
  const total = Math.min(totalmem(), memoryBytes ?? Number.POSITIVE_INFINITY);
  const limit = memoryBytes !== null && memoryBytes < totalmem() ? ", limited by its control group" : "";
  const text = `${formatSize(total)}${limit}, ${formatSize(freemem())} free`;
  if (total >= GiB) return ok("memory", text);
  return warn("memory", text, "Run fewer workers (--workers 1) with less memory (--memory 64MiB).");
}

/** Soft limits of /proc/self/limits: null is unlimited, undefined not known. */
export function readLimit(text: string, name: string): number | null | undefined {
  const found = new RegExp(`^${name}\\s+(\\S+)`, "m").exec(text)?.[1];
  return found === undefined ? undefined : found === "unlimited" ? null : Number(found);
}

const filesLeast = 4_096;
/** What Node reserves for one WebAssembly memory, and some. */
const addressLeast = 16 * GiB;

export function checkLimits(text: string): Finding[] {
  const files = readLimit(text, "Max open files");
  const address = readLimit(text, "Max address space");
  const findings: Finding[] = [];
  if (files !== undefined) {
    const found = files === null ? "unlimited" : String(files);
    const few = files !== null && files < filesLeast;
    const todo = "Raise it where many files are merged or served: ulimit -n 65536.";
    findings.push(few ? warn("open files", found, todo) : ok("open files", found));
  }
  if (address !== undefined) {
    const found = address === null ? "unlimited" : formatSize(address);
    const small = address !== null && address < addressLeast;
    const todo =
      "Node reserves addresses, not memory, for WebAssembly: lift the limit (ulimit -v unlimited).";
    findings.push(small ? fail("address space", found, todo) : ok("address space", found));
  }
  return findings;
}

/** By the numbers that Linux has for them. */
const fileSystems: Readonly<Record<number, string>> = {
  [0x1021994]: "tmpfs",
  [0xef53]: "ext4",
  [0x58465342]: "xfs",
  [0x9123683e]: "btrfs",
  [0x2fc12fc1]: "zfs",
  [0x794c7630]: "overlay",
  [0x6969]: "nfs",
  [0xff534d42]: "cifs",
  [0xfe534d42]: "smb2",
  [0x0bd00bd0]: "lustre",
  [0x47504653]: "gpfs",
  [0x00c36400]: "ceph",
  [0x65735546]: "fuse",
};
const overNetwork = /^(?:nfs|cifs|smb2|lustre|gpfs|ceph)$/;

/** @param use what it is for: shared places may lie on a network, those of locks and databases not */
export function checkDirectory(about: string, path: string, use: "scratch" | "state"): Finding {
  const there = nearest(path);
  try {
    accessSync(there, constants.W_OK | constants.X_OK);
    const { type, bavail, bsize } = statfsSync(there);
    const kind = platform() === "linux" ? (fileSystems[type] ?? `file system 0x${type.toString(16)}`) : "";
    const freeBytes = bavail * bsize;
    const text = [path, kind, `${formatSize(freeBytes)} free`].filter((one) => one !== "").join(", ");
    if (overNetwork.test(kind)) {
      const todo =
        use === "state"
          ? "A coordinator's state belongs on a local disk: --state DIR, or set SHEAF_STATE."
          : "What is between map and reduce belongs on a local disk: set TMPDIR.";
      return warn(about, text, todo);
    }
    if (freeBytes < GiB) return warn(about, text, "Make room, or name another directory.");
    if (kind === "tmpfs" && use === "scratch") {
      return warn(about, text, "It lies in memory: set TMPDIR to a disk for jobs that spill much.");
    }
    return ok(about, text);
  } catch (error) {
    const variable = use === "state" ? "SHEAF_STATE" : "TMPDIR";
    const todo = `Make it writable, or set ${variable} to a directory that is.`;
    return fail(about, `${path}: ${describeThrown(error)}`, todo);
  }
}

/** The directory, or the first above it that there is. */
function nearest(path: string): string {
  const parent = dirname(path);
  return existsSync(path) || parent === path ? path : nearest(parent);
}

export function temporaryDirectory(): Finding {
  return checkDirectory("temporary files", tmpdir(), "scratch");
}

/** A program's first lines of what it says; rejects as execFile. */
export function programSays(program: string, args: readonly string[], env: Environment): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(program, args, { timeout: programMs, env: { ...env } }, (error, stdout, stderr) => {
      if (error === null) resolve(`${stdout}${stderr}`.trim());
      else reject(error);
    });
  });
}

/** Where a program of the PATH is; undefined: nowhere. */
export function inPath(name: string, env: Environment): string | undefined {
  return placesInPath(name, env["PATH"]).find(isExecutable);
}
