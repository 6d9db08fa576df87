import { inCategory, switchFlag, types, valueFlag } from "./flag.ts";

/** Flags every command takes; main.ts acts on them before the command sees its own. */
export const globalFlags = inCategory("Display", {
  color: valueFlag("--color WHEN", types.choice(["auto", "always", "never"]), "Colours on the terminal", {
    default: "auto",
    details: "With auto there are colours on a terminal, unless NO_COLOR is set or TERM is dumb.",
  }),
  debug: switchFlag("--debug", "Show the whole stack of an error"),
  help: switchFlag("-h, --help", "Show help; --help says more than -h"),
});

/** For commands whose answer may also be read by a program. */
export const jsonFlag = inCategory("Display", {
  flag: switchFlag("--json", "Answer in JSON on standard output"),
}).flag;

/** For commands that run a job. */
export const displayFlags = inCategory("Display", {
  quiet: switchFlag("-q, --quiet", "Say nothing but errors"),
  json: switchFlag("--json", "Write what happens to standard output, one JSON object a line", {
    details: "Without -o, and with --print or --collect, the results come as such objects too.",
  }),
});

/** How a command reaches a coordinator. */
export const connectFlags = inCategory("Cluster", {
  profile: valueFlag("--profile NAME", types.string, "Settings of the project file under this name", {
    default: "none",
    details:
      "Where sheaf.config.ts or sheaf.json has them: another coordinator, its token, other defaults. Flags win over a " +
      "profile, a profile over the environment, and that over what the project says of a job and of all.",
  }),
  on: valueFlag("--on URL", types.string, "Coordinator of the cluster, http://HOST:PORT", {
    default: "$SHEAF_ON",
    details:
      'With "local" this machine is meant, even when $SHEAF_ON is set; for sheaf run, with "inline" its main ' +
      'thread (as --inline), with "hadoop" or "spark" an engine that is there (docs/engines.md).',
  }),
  tokenFile: valueFlag(
    "--token-file FILE",
    types.path,
    "File with the clients' token: client.token of the coordinator",
    { default: "$SHEAF_TOKEN_FILE, else that of a coordinator of yours on this machine" },
  ),
  tlsCa: valueFlag(
    "--tls-ca FILE",
    types.path,
    "Certificates of the authority that peers are checked against",
    {
      default: "$SHEAF_TLS_CA",
      details: "With --tls-cert and --tls-key; sheaf certs makes the three files.",
    },
  ),
  tlsCert: valueFlag("--tls-cert FILE", types.path, "Own certificate", { default: "$SHEAF_TLS_CERT" }),
  tlsKey: valueFlag("--tls-key FILE", types.path, "Key of the own certificate", {
    default: "$SHEAF_TLS_KEY",
  }),
});
