import { switchFlag, valueFlag } from "../flag.ts";
import { durationType, integerType, pathType, stringType } from "../flag-type.ts";

/** How a command reaches a coordinator. */
export const connectFlags = {
  on: valueFlag({
    name: "on",
    placeholder: "URL",
    type: stringType,
    default: "$SHEAF_ON",
    category: "Cluster",
    doc: "Coordinator of the cluster, http://HOST:PORT",
    details:
      'With "local" this machine is meant, even when $SHEAF_ON is set; with "inline", for sheaf run, its main ' +
      "thread (as --inline).",
  }),
  tokenFile: valueFlag({
    name: "token-file",
    placeholder: "FILE",
    type: pathType,
    default: "$SHEAF_TOKEN_FILE, else that of a coordinator of yours on this machine",
    category: "Cluster",
    doc: "File with the clients' token: client.token of the coordinator",
  }),
  tlsCa: valueFlag({
    name: "tls-ca",
    placeholder: "FILE",
    type: pathType,
    default: "$SHEAF_TLS_CA",
    category: "Cluster",
    doc: "Certificates of the authority that peers are checked against",
    details: "With --tls-cert and --tls-key; sheaf certs makes the three files.",
  }),
  tlsCert: valueFlag({
    name: "tls-cert",
    placeholder: "FILE",
    type: pathType,
    default: "$SHEAF_TLS_CERT",
    category: "Cluster",
    doc: "Own certificate",
  }),
  tlsKey: valueFlag({
    name: "tls-key",
    placeholder: "FILE",
    type: pathType,
    default: "$SHEAF_TLS_KEY",
    category: "Cluster",
    doc: "Key of the own certificate",
  }),
};

/** How a job is run on a cluster. */
export const clusterJobFlags = {
  cores: valueFlag({
    name: "cores",
    placeholder: "N",
    type: integerType(1, 100_000),
    default: "as many as there are tasks for",
    category: "Cluster",
    doc: "Cores wanted; idle machines give theirs first",
  }),
  priority: valueFlag({
    name: "priority",
    placeholder: "N",
    type: integerType(-10, 10),
    default: "0",
    category: "Cluster",
    doc: "From -10 to 10: jobs with a higher one get more cores, within seconds",
  }),
  shared: switchFlag({
    name: "shared",
    category: "Cluster",
    doc: "DIR of -o is on a file system that all agents see: they write there",
    details:
      "Otherwise results come back through the coordinator and are written by this command. A coordinator on this " +
      "machine that may write to DIR is taken to share it; --no-shared says it does not.",
  }),
  speculation: switchFlag({
    name: "speculation",
    category: "Cluster",
    doc: "A task far slower than the others gets a second attempt on another agent; on unless --no-speculation",
  }),
  queueTimeout: valueFlag({
    name: "queue-timeout",
    placeholder: "TIME",
    type: durationType,
    default: "waits",
    category: "Cluster",
    doc: "Fail when no agent has come for this long",
  }),
  group: valueFlag({
    name: "group",
    placeholder: "NAME",
    type: stringType,
    category: "Cluster",
    doc: "Label to find the job by",
  }),
  project: valueFlag({
    name: "project",
    placeholder: "NAME",
    type: stringType,
    category: "Cluster",
    doc: "Another label",
  }),
};

export const detachFlag = switchFlag({
  name: "detach",
  short: "d",
  category: "Cluster",
  doc: "Submit and return; the job goes on without its client",
  details: "It prints the job's id. sheaf attach follows the job, sheaf results fetches what was not shared.",
});
