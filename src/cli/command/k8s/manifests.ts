import { makeToken } from "../../../security/token.ts";
import type { Plain } from "./yaml.ts";

export interface ManifestOptions {
  /** Of all objects, in front of their own. */
  readonly name: string;
  /** null: that of who applies them. */
  readonly namespace: string | null;
  readonly image: string;
  readonly agents: number;
  readonly slots: number;
  readonly memoryBytes: number;
  readonly scratchBytes: number;
  readonly storageBytes: number;
  readonly storageClass: string | null;
  /** Of the registry. */
  readonly pullSecret: string | null;
  /** A Secret that is there already, with client.token and agent.token; null: one is made. */
  readonly tokens: string | null;
  /** What jobs may read and write, besides volumes: directories of the image, addresses of storages. */
  readonly roots: readonly string[];
  /** Claims of volumes that many may write, and where they are mounted. */
  readonly volumes: readonly { readonly claim: string; readonly path: string }[];
  /** Secrets whose entries agents have in their environment: for storages. */
  readonly envFrom: readonly string[];
  readonly graceMs: number;
  readonly networkPolicy: boolean;
}

interface Part {
  readonly component: "coordinator" | "agent";
  readonly replicas: number;
  readonly serviceName: string;
  readonly args: readonly string[];
  readonly port: number;
  readonly probes: { readonly [field: string]: Plain };
  readonly resources: { readonly [field: string]: Plain };
  readonly graceSeconds: number;
  readonly volumes: readonly Plain[];
  readonly claims: readonly Plain[];
  readonly more: { readonly [field: string]: Plain | undefined };
  readonly envFrom: readonly string[];
}

const coordinatorPort = 7077;
const agentPort = 7078;
/** Where pods have what is not jobs'. */
const tokenPlace = "/run/sheaf";
const statePlace = "/var/lib/sheaf";
export const ownPlaces = [tokenPlace, statePlace, "/tmp", "/etc/sheaf-tokens"];
/** User and group "node" of the images that Node is published in. */
const user = 1000;
const secure = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
};
/** Beyond the grace time of an agent: tasks are handed back, files removed. */
const moreSeconds = 30;
const MiB = 1024 * 1024;

/** The objects of a cluster, in the order in which they are to be made. */
export function manifests(
  options: ManifestOptions,
): readonly { readonly [field: string]: Plain | undefined }[] {
  const { name, networkPolicy, tokens } = options;
  return [
    ...(tokens === null ? [secretOf(options)] : []),
    serviceOf(options, "coordinator", coordinatorPort, false),
    serviceOf(options, "agent", agentPort, true),
    statefulSet(options, coordinator(options)),
    statefulSet(options, agents(options)),
    ...(networkPolicy
      ? [
          policyOf(options, "coordinator", coordinatorPort, [
            { podSelector: { matchLabels: labelsOf(name, "agent") } },
            { podSelector: { matchLabels: { [clientLabel]: name } } },
          ]),
          policyOf(options, "agent", agentPort, [{ podSelector: { matchLabels: labelsOf(name, "agent") } }]),
        ]
      : []),
  ];
}

/** Pods with it, and the cluster's name as its value, may reach the coordinator. */
export const clientLabel = "sheaf-client";

export function coordinatorName(name: string): string {
  return `${name}-coordinator`;
}

export function secretName({ name, tokens }: Pick<ManifestOptions, "name" | "tokens">): string {
  return tokens ?? `${name}-tokens`;
}

function agentsName(name: string): string {
  return `${name}-agents`;
}

function labelsOf(name: string, component: string): Record<string, string> {
  return {
    "app.kubernetes.io/name": "sheaf",
    "app.kubernetes.io/instance": name,
    "app.kubernetes.io/component": component,
  };
}

function metadata({ name, namespace }: ManifestOptions, own: string, component: string): Plain {
  return { name: own, namespace: namespace ?? undefined, labels: labelsOf(name, component) };
}

function secretOf(options: ManifestOptions): Record<string, Plain> {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: metadata(options, secretName(options), "tokens"),
    type: "Opaque",
    stringData: { "client.token": `${makeToken("client")}\n`, "agent.token": `${makeToken("agent")}\n` },
  };
}

/** Headless, it gives each pod a name, which its peers know before it is ready: they wait for each other. */
function serviceOf(
  options: ManifestOptions,
  component: "coordinator" | "agent",
  port: number,
  headless: boolean,
): Record<string, Plain> {
  const own = headless ? agentsName(options.name) : coordinatorName(options.name);
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: metadata(options, own, component),
    spec: {
      ...(headless ? { clusterIP: "None", publishNotReadyAddresses: true } : {}),
      selector: labelsOf(options.name, component),
      ports: [{ name: "http", port, targetPort: "http" }],
    },
  };
}

function policyOf(
  options: ManifestOptions,
  component: "coordinator" | "agent",
  port: number,
  from: readonly Plain[],
): Record<string, Plain> {
  const own = component === "agent" ? agentsName(options.name) : coordinatorName(options.name);
  return {
    apiVersion: "networking.k8s.io/v1",
    kind: "NetworkPolicy",
    metadata: metadata(options, own, component),
    spec: {
      podSelector: { matchLabels: labelsOf(options.name, component) },
      policyTypes: ["Ingress"],
      ingress: [{ from, ports: [{ protocol: "TCP", port }] }],
    },
  };
}

function coordinator(options: ManifestOptions): Part {
  const { name, storageBytes, storageClass } = options;
  const own = coordinatorName(name);
  const domain = `${own}.$(POD_NAMESPACE)`;
  const health = { httpGet: { path: "/health", port: "http" } };
  return {
    component: "coordinator",
    replicas: 1,
    serviceName: own,
    args: [
      ...words("coordinator", "--host", "0.0.0.0", "--port", String(coordinatorPort)),
      ...words("--state", `${statePlace}/coordinator`),
      ...words(
        "--token-file",
        `${tokenPlace}/client.token`,
        "--agent-token-file",
        `${tokenPlace}/agent.token`,
      ),
      ...[own, domain, `${domain}.svc`, `${domain}.svc.cluster.local`].flatMap((one) => [
        "--public-name",
        one,
      ]),
      ...rootFlags(options),
    ],
    port: coordinatorPort,
    probes: {
      // It reads all it knows before it answers.
      startupProbe: { ...health, periodSeconds: 2, failureThreshold: 150 },
      readinessProbe: { ...health, periodSeconds: 5 },
      livenessProbe: { ...health, periodSeconds: 10, timeoutSeconds: 5, failureThreshold: 6 },
    },
    resources: { requests: { cpu: "500m", memory: "512Mi" }, limits: { memory: "1Gi" } },
    graceSeconds: 60,
    volumes: [],
    claims: [
      {
        metadata: { name: "state" },
        spec: {
          accessModes: ["ReadWriteOnce"],
          storageClassName: storageClass ?? undefined,
          resources: { requests: { storage: quantity(storageBytes) } },
        },
      },
    ],
    more: {},
    envFrom: [],
  };
}

function agents(options: ManifestOptions): Part {
  const { name, agents: replicas, slots, memoryBytes, scratchBytes, graceMs, envFrom } = options;
  const health = { httpGet: { path: "/health", port: "http" } };
  const own = `$(POD_NAME).${agentsName(name)}.$(POD_NAMESPACE).svc`;
  return {
    component: "agent",
    replicas,
    serviceName: agentsName(name),
    args: [
      ...words(
        "agent",
        "--join",
        `http://${coordinatorName(name)}:${coordinatorPort}`,
        "--name",
        "$(POD_NAME)",
      ),
      ...words("--host", "0.0.0.0", "--port", String(agentPort), "--advertise", `http://${own}:${agentPort}`),
      ...words("--slots", String(slots), "--state", `${statePlace}/agent`),
      ...words("--token-file", `${tokenPlace}/agent.token`, "--grace", `${graceMs}ms`),
      ...rootFlags(options),
    ],
    port: agentPort,
    probes: {
      startupProbe: { ...health, periodSeconds: 2, failureThreshold: 60 },
      readinessProbe: { ...health, periodSeconds: 10 },
      livenessProbe: { ...health, periodSeconds: 20, timeoutSeconds: 10, failureThreshold: 6 },
    },
    // No limit of processors: one that is slowed down in the midst of a heartbeat counts as lost.
    resources: {
      requests: { cpu: slots, memory: quantity(memoryBytes) },
      limits: { memory: quantity(memoryBytes) },
    },
    graceSeconds: Math.ceil(graceMs / 1000) + moreSeconds,
    volumes: [{ name: "state", emptyDir: { sizeLimit: quantity(scratchBytes) } }],
    claims: [],
    more: { podManagementPolicy: "Parallel" },
    envFrom,
  };
}

function statefulSet(options: ManifestOptions, part: Part): Record<string, Plain> {
  const { component, replicas, serviceName, claims, more } = part;
  const labels = labelsOf(options.name, component);
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: metadata(options, serviceName, component),
    spec: {
      replicas,
      serviceName,
      ...more,
      selector: { matchLabels: labels },
      template: { metadata: { labels }, spec: podOf(options, part) },
      ...(claims.length === 0 ? {} : { volumeClaimTemplates: claims }),
    },
  };
}

function podOf(options: ManifestOptions, part: Part): Plain {
  const data = options.volumes.map(({ claim }, index) => ({
    name: `data-${index}`,
    persistentVolumeClaim: { claimName: claim },
  }));
  return {
    terminationGracePeriodSeconds: part.graceSeconds,
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    imagePullSecrets: options.pullSecret === null ? undefined : [{ name: options.pullSecret }],
    securityContext: {
      runAsNonRoot: true,
      runAsUser: user,
      runAsGroup: user,
      fsGroup: user,
      // Not each time: it would open to the group what sheaf has closed.
      fsGroupChangePolicy: "OnRootMismatch",
      seccompProfile: { type: "RuntimeDefault" },
    },
    // A file of a Secret belongs to root and is open to the group; sheaf takes no token that others can read.
    initContainers: [
      {
        name: "tokens",
        image: options.image,
        command: ["/bin/sh", "-c", `umask 077 && cp -f /etc/sheaf-tokens/*.token ${tokenPlace}/`],
        securityContext: secure,
        resources: { requests: { cpu: "10m", memory: "16Mi" }, limits: { memory: "64Mi" } },
        volumeMounts: [
          { name: "secret", mountPath: "/etc/sheaf-tokens", readOnly: true },
          { name: "tokens", mountPath: tokenPlace },
        ],
      },
    ],
    containers: [containerOf(options, part)],
    volumes: [
      { name: "secret", secret: { secretName: secretName(options), items: secretItems(part.component) } },
      { name: "tokens", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "tmp", emptyDir: {} },
      ...part.volumes,
      ...data,
    ],
  };
}

function containerOf(options: ManifestOptions, part: Part): Plain {
  const { component, args, envFrom, port, probes, resources } = part;
  return {
    name: component,
    image: options.image,
    args,
    env: [
      { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      { name: "POD_NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
      { name: "HOME", value: "/tmp" },
    ],
    envFrom: envFrom.length === 0 ? undefined : envFrom.map((secret) => ({ secretRef: { name: secret } })),
    ports: [{ name: "http", containerPort: port }],
    ...probes,
    resources,
    securityContext: secure,
    volumeMounts: [
      { name: "state", mountPath: statePlace },
      { name: "tokens", mountPath: tokenPlace, readOnly: true },
      { name: "tmp", mountPath: "/tmp" },
      ...options.volumes.map(({ path }, index) => ({ name: `data-${index}`, mountPath: path })),
    ],
  };
}

/** An agent gets no token of clients. */
function secretItems(component: Part["component"]): Plain {
  const names = component === "agent" ? ["agent.token"] : ["client.token", "agent.token"];
  return names.map((key) => ({ key, path: key }));
}

function words(...all: readonly string[]): readonly string[] {
  return all;
}

function rootFlags({ roots, volumes }: ManifestOptions): string[] {
  // Kubernetes puts a variable's value for what looks like $(NAME).
  const places = [...roots, ...volumes.map(({ path }) => path)].map((root) => root.replaceAll("$(", "$$$$("));
  return places.flatMap((root) => ["--root", root]);
}

/** As Kubernetes writes sizes. */
function quantity(bytes: number): string {
  return bytes % (1024 * MiB) === 0 ? `${bytes / (1024 * MiB)}Gi` : `${Math.ceil(bytes / MiB)}Mi`;
}
