import { SheafError } from "../../base/errors.ts";
import { settings } from "../../base/limits.ts";
import { packageVersion } from "../../base/package-places.ts";
import { formatSize } from "../../base/size.ts";
import { splitAddress } from "../../storage/store.ts";
import { type CliCommand, type ExitCode, type Invocation, exitCodes } from "../command.ts";
import {
  type FlagType,
  inCategory,
  repeatedFlag,
  secondsText,
  switchFlag,
  types,
  valueFlag,
} from "../flag.ts";
import { writeJson, writeTo } from "../world.ts";
import type { ManifestOptions } from "./k8s/manifests.ts";

const GiB = 1024 ** 3;
const MiB = 1024 ** 2;
const slotsDefault = 2;
const scratchDefault = 20 * GiB;
const storageDefault = 10 * GiB;
const graceDefault = 60_000;

/** Of an agent: itself, and for each slot the job's memory, its JavaScript heap and what a process needs. */
function memoryFor(slots: number): number {
  return 512 * MiB + slots * GiB;
}

/** The name of an object: what may stand in a DNS name, with room for what is put behind it. */
const objectName = nameType(
  /^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$/,
  "up to 40 lower-case letters, digits and hyphens",
);
const anyName = nameType(
  /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/,
  "lower-case letters, digits, dots and hyphens",
);
const imageName = nameType(/^[\w][\w.:/@-]*$/, "the name of an image, as registry.example/sheaf:1");

export const k8sFlags = {
  ...inCategory("Cluster", {
    image: valueFlag("--image IMAGE", imageName, "Image with sheaf, from a registry that the nodes reach", {
      details: "docs/kubernetes.md has a Dockerfile.",
    }),
    name: valueFlag("--name NAME", objectName, "What the names of all objects begin with", {
      default: "sheaf",
    }),
    namespace: valueFlag("--namespace NAME", objectName, "Namespace of all objects", {
      default: "that of kubectl",
    }),
    agents: valueFlag("--agents N", types.integer({ min: 1, max: 1_000 }), "Agents, a pod each", {
      default: String(settings.agents.default),
    }),
    slots: valueFlag(
      "--slots N",
      types.integer(settings.slots),
      "Tasks each agent runs at a time, a processor each",
      {
        default: String(slotsDefault),
      },
    ),
    memory: valueFlag("--memory SIZE", types.size({ min: 512 * MiB }), "Memory of an agent", {
      default: "512 MiB and 1 GiB for each slot",
    }),
    scratch: valueFlag(
      "--scratch SIZE",
      types.size({ min: 64 * MiB }),
      "Disk of an agent, for what is between tasks",
      {
        default: formatSize(scratchDefault),
      },
    ),
    storage: valueFlag(
      "--storage SIZE",
      types.size({ min: 64 * MiB }),
      "Volume of the coordinator: jobs and results",
      {
        default: formatSize(storageDefault),
      },
    ),
    storageClass: valueFlag("--storage-class NAME", anyName, "Class of that volume", {
      default: "that of the cluster",
    }),
    tokens: valueFlag(
      "--tokens SECRET",
      anyName,
      "A Secret that is there, with client.token and agent.token",
      {
        default: "one is made, with new tokens",
      },
    ),
    pullSecret: valueFlag("--pull-secret SECRET", anyName, "Secret with which the image is pulled"),
    roots: repeatedFlag("--root ADDRESS", types.string, "Jobs may read and write below it; may be repeated", {
      details: "An address is as s3://bucket/logs/.",
    }),
    volumes: repeatedFlag(
      "--volume CLAIM=PATH",
      types.assignment,
      "Mount a claim that many pods may write at this path; jobs may read and write there",
    ),
    envFrom: repeatedFlag(
      "--env-from SECRET",
      anyName,
      "Secret with credentials of storages; may be repeated",
      {
        details: "Its entries become variables of the agents: AWS_ACCESS_KEY_ID and the like.",
      },
    ),
    grace: valueFlag(
      "--grace TIME",
      types.duration,
      "How long an agent that is to end may finish what runs",
      {
        default: secondsText({ default: graceDefault }),
      },
    ),
    networkPolicy: switchFlag(
      "--network-policy",
      "Let in only agents and pods that are labelled as clients",
      {
        default: "on",
      },
    ),
  }),
  ...inCategory("Display", {
    json: switchFlag("--json", "One JSON object, a List, instead of YAML"),
  }),
};

export const k8sCommand: CliCommand<typeof k8sFlags> = {
  name: "k8s",
  summary: "Write the manifests of a cluster on Kubernetes",
  details: [
    "A coordinator with a volume, agents that find each other by a headless service, a Secret with their tokens, and " +
      "network policies, for kubectl apply. Pods run without root and with a read-only file system; an agent that is " +
      "to end finishes what it runs. Tests hold them against Kubernetes' schemas; no cluster of Kubernetes was there " +
      "to try them on.",
  ],
  arguments: [{ name: "ACTION", doc: "manifests", required: true, choices: ["manifests"] }],
  flags: k8sFlags,
  examples: [
    [
      "sheaf k8s manifests --image registry.example/sheaf:0.1 --agents 5 > sheaf.yaml",
      "Five agents of two slots",
    ],
    [
      "sheaf k8s manifests --image registry.example/sheaf:0.1 --root s3://bucket/logs/ --env-from s3-reader | kubectl apply -f -",
      "For files in S3",
    ],
  ],
  run,
};

async function run({ flags, world }: Invocation<typeof k8sFlags>): Promise<ExitCode> {
  if (flags.image === undefined) {
    throw new SheafError("USAGE", "--image is missing", {
      hint: "Name an image that has sheaf as its entry point; docs/kubernetes.md has a Dockerfile.",
    });
  }
  const slots = flags.slots ?? slotsDefault;
  const options: ManifestOptions = {
    name: flags.name ?? "sheaf",
    namespace: flags.namespace ?? null,
    image: flags.image,
    agents: flags.agents ?? settings.agents.default,
    slots,
    memoryBytes: flags.memory ?? memoryFor(slots),
    scratchBytes: flags.scratch ?? scratchDefault,
    storageBytes: flags.storage ?? storageDefault,
    storageClass: flags.storageClass ?? null,
    tokens: flags.tokens ?? null,
    pullSecret: flags.pullSecret ?? null,
    roots: flags.roots.map((root) => absolute(root, "--root")),
    volumes: flags.volumes.map(([claim, path]) => ({ claim: anyName.parse(claim, "--volume"), path })),
    envFrom: flags.envFrom,
    graceMs: flags.grace ?? graceDefault,
    networkPolicy: flags.networkPolicy ?? true,
  };
  const [{ manifests, ownPlaces }, { yamlOf }] = await Promise.all([
    import("./k8s/manifests.ts"),
    import("./k8s/yaml.ts"),
  ]);
  const taken = [...ownPlaces];
  for (const { path } of options.volumes) {
    checkMount(path, taken);
    taken.push(path);
  }
  const objects = manifests(options);
  if (flags.json === true) await writeJson(world, { apiVersion: "v1", kind: "List", items: objects });
  else
    await writeTo(world.stdout, [headOf(options), ...objects.map((one) => `---\n${yamlOf(one)}`)].join(""));
  return exitCodes.ok;
}

/** What to know before it is applied, as comments. */
function headOf({ name, namespace, tokens }: ManifestOptions): string {
  const of = namespace === null ? "" : ` --namespace ${namespace}`;
  const secret = tokens ?? `${name}-tokens`;
  return [
    `A sheaf ${packageVersion()} cluster, by sheaf k8s manifests. Held against Kubernetes' schemas; it was not tried on a`,
    "real cluster. The image's entry point must be sheaf, and it must have /bin/sh and cp.",
    ...(tokens === null
      ? [
          "It holds secret tokens. Applied again, another file would change them: then write it with",
          `--tokens ${secret}.`,
        ]
      : []),
    "To use it from outside:",
    "",
    `  kubectl${of} port-forward service/${name}-coordinator 7077 &`,
    `  (umask 077; kubectl${of} get secret ${secret} -o 'jsonpath={.data.client\\.token}' | base64 -d > client.token)`,
    "  sheaf run JOB INPUT... -o DIR --on http://127.0.0.1:7077 --token-file client.token",
  ]
    .map((line) => `#${line === "" ? "" : ` ${line}`}\n`)
    .join("");
}

function absolute(place: string, flag: string): string {
  if (splitAddress(place) !== null || /^\/[^\0\n]*$/.test(place)) return place;
  throw new SheafError("USAGE", `${flag}: "${place}" is neither an absolute path nor an address`, {
    hint: "Paths are those within the pods: /data; addresses are as s3://bucket/logs/.",
  });
}

/** @throws SheafError USAGE for what Kubernetes does not mount, or what lies in or around a taken place */
function checkMount(path: string, taken: readonly string[]): void {
  const inside = (one: string, other: string): boolean => `${one}/`.startsWith(`${other}/`);
  const clash = taken.find((one) => inside(one, path) || inside(path, one));
  if (/^(?:\/[\w.@+-]+)+$/.test(path) && !/\/\.\.?(?:\/|$)/.test(path) && clash === undefined) return;
  throw new SheafError("USAGE", `--volume: nothing can be mounted at "${path}"`, {
    hint:
      clash === undefined
        ? "Give a plain absolute path: /data."
        : `${clash} is taken: give another path, as /data.`,
  });
}

function nameType(form: RegExp, what: string): FlagType<string> {
  return {
    kind: "string",
    parse(text, flag) {
      if (form.test(text)) return text;
      throw new SheafError("USAGE", `${flag}: "${text}" cannot be such a name`, { hint: `Give ${what}.` });
    },
  };
}
