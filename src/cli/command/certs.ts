import type { Command } from "../command.ts";
import { certsFlags } from "../flags/certs-flags.ts";

export const certsCommand: Command<typeof certsFlags> = {
  name: "certs",
  summary: "Make certificates for coordinator, agents and clients",
  details: [
    "`sheaf certs init DIR` makes an authority in DIR. `sheaf certs issue DIR NAME` makes a certificate of it: for a " +
      "coordinator or an agent with a --host for each name or address others reach it by, for a client without.",
    "NAME.pem, NAME.key and ca.pem go to the machine that NAME is for, and are given to its commands with --tls-cert, " +
      "--tls-key and --tls-ca. ca.key stays in DIR: whoever has it can let anybody in. Nothing that exists is overwritten.",
  ],
  arguments: [
    { name: "ACTION", doc: "init or issue", required: true, choices: ["init", "issue"] },
    { name: "DIR", doc: "Directory of the authority", required: true, complete: "path" },
    { name: "NAME", doc: "Machine or user the certificate is for (issue only)", required: false },
  ],
  flags: certsFlags,
  examples: [
    { command: "sheaf certs init certs", doc: "An authority, once" },
    {
      command: "sheaf certs issue certs node1 --host node1.example --host 10.0.0.5",
      doc: "A certificate for a machine with two names",
    },
    { command: "sheaf certs issue certs alice --days 30", doc: "A certificate for a client, for a month" },
  ],
  load: () => import("../action/certs.ts"),
};
