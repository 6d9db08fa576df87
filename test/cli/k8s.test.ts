import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { yamlOf } from "#src/cli/command/k8s/yaml.js";
import { pythonWith } from "../kit/python-package.js";
import { sheafHere, tempDir } from "./support.js";

// Kubernetes' own schemas of several versions, and PyYAML, which reads what we write.
const python = pythonWith("kubernetes-validate", "1.37.0");

interface Container {
  readonly args: readonly string[];
  readonly ports: readonly { readonly containerPort: number }[];
}
interface Resource {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly stringData?: Readonly<Record<string, string>>;
  readonly spec: {
    readonly selector: Readonly<Record<string, unknown>>;
    readonly replicas: number;
    readonly serviceName: string;
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly containers: readonly Container[];
        readonly terminationGracePeriodSeconds: number;
      };
    };
  };
}

/** Each argument is a line for Python's standard input; it answers in JSON. */
function ask(code: string, input: string): unknown {
  const { stdout, stderr, status } = spawnSync(python.program, ["-c", code], { input, encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return JSON.parse(stdout);
}

const validate = `
import sys, json, yaml, kubernetes_validate
documents = list(yaml.safe_load_all(sys.stdin))
wrong = []
for version in ["1.25", "1.31", "1.37"]:
    for one in documents:
        try: kubernetes_validate.validate(one, version, strict=True)
        except Exception as error: wrong.append(f"{version} {one['kind']}: {error}"[:600])
print(json.dumps({"documents": documents, "wrong": wrong}))
`;

const image = ["--image", "registry.example:5000/team/sheaf:0.1"];
const full = (
  "--name logs --namespace data --agents 5 --slots 4 --memory 6GiB --scratch 1500MiB --storage 1TiB " +
  "--storage-class fast.ssd --pull-secret registry --grace 90500ms --root s3://bucket/$(x)/ " +
  "--volume shared=/data --volume more=/more --env-from s3-reader"
).split(" ");

test("manifests fit the schemas of Kubernetes, and to each other", { skip: python.skip }, async () => {
  for (const flags of [image, [...image, ...full], [...image, "--tokens", "mine", "--no-network-policy"]]) {
    const { stdout, stderr, code } = await sheafHere(["k8s", "manifests", ...flags]);
    assert.equal(code, 0, stderr);
    const { documents, wrong } = ask(validate, stdout) as { documents: Resource[]; wrong: string[] };
    assert.deepEqual(wrong, []);
    const listed = await sheafHere(["k8s", "manifests", ...flags, "--json"]);
    const list = JSON.parse(listed.stdout) as { items: Resource[] };
    // Tokens are new each time.
    const plain = (items: readonly Resource[]) => items.map((one) => ({ ...one, stringData: null }));
    assert.deepEqual(plain(documents), plain(list.items));

    const services = documents.filter(({ kind }) => kind === "Service");
    const sets = documents.filter(({ kind }) => kind === "StatefulSet");
    assert.deepEqual([services.length, sets.length], [2, 2]);
    for (const { metadata, spec } of sets) {
      const service = services.find((one) => one.metadata.name === spec.serviceName)!;
      assert.equal(metadata.name, spec.serviceName);
      assert.deepEqual(service.spec.selector, spec.template.metadata.labels);
      assert.deepEqual(spec.selector["matchLabels"], spec.template.metadata.labels);
    }
    assert.equal(
      documents.filter(({ kind }) => kind === "Secret").length,
      flags.includes("--tokens") ? 0 : 1,
    );
    const policies = documents.filter(({ kind }) => kind === "NetworkPolicy").length;
    assert.equal(policies, flags.includes("--no-network-policy") ? 0 : 2);
  }
});

test(
  "what the containers run are commands of sheaf, with the numbers that were given",
  { skip: python.skip },
  async (t) => {
    const root = tempDir(t);
    const { stdout } = await sheafHere(["k8s", "manifests", ...image, ...full]);
    const { documents } = ask(validate, stdout) as { documents: Resource[] };
    assert.ok(documents.every(({ metadata }) => metadata.namespace === "data"));
    const [coordinator, agents] = documents.filter(({ kind }) => kind === "StatefulSet");
    const argsOf = (set: Resource): readonly string[] => set.spec.template.spec.containers[0]!.args;
    for (const set of [coordinator!, agents!]) {
      const { args, ports } = set.spec.template.spec.containers[0]!;
      assert.equal(args[args.indexOf("--port") + 1], String(ports[0]!.containerPort));
      // Each flag is one that there is: sheaf gets as far as the files that are not here.
      // As Kubernetes fills in what is of a pod.
      const filled = args.map((arg) =>
        arg
          .replaceAll("$(POD_NAME)", "logs-agents-0")
          .replaceAll("$(POD_NAMESPACE)", "data")
          .replace("/var/lib/sheaf", root),
      );
      const run = await sheafHere(filled);
      assert.match(run.stderr, /TOKEN_INVALID|listening beyond this machine needs a token/);
    }
    assert.equal(agents!.spec.replicas, 5);
    assert.equal(agents!.spec.template.spec.terminationGracePeriodSeconds, 121);
    const args = argsOf(agents!).join(" ");
    assert.match(args, /--join http:\/\/logs-coordinator:7077 /);
    assert.match(
      args,
      /--advertise http:\/\/\$\(POD_NAME\)\.logs-agents\.\$\(POD_NAMESPACE\)\.svc:7078 --slots 4 /,
    );
    assert.match(args, / --grace 90500ms --root s3:\/\/bucket\/\$\$\(x\)\/ --root \/data --root \/more$/);
    const secret = documents.find(({ kind }) => kind === "Secret")!.stringData!;
    assert.match(secret["client.token"]!, /^sheaf_c_\S+\n$/);
    assert.match(secret["agent.token"]!, /^sheaf_a_\S+\n$/);
  },
);

test("names and places that Kubernetes would refuse are refused here", async () => {
  const cases: readonly (readonly [flags: readonly string[], said: RegExp])[] = [
    [[], /--image is missing/],
    [["--image", "a b"], /--image: "a b" cannot be such a name/],
    [["--name", "Sheaf"], /--name: "Sheaf" cannot/],
    [["--name", "9a"], /--name/],
    [["--namespace", "-x"], /--namespace needs an argument/],
    [["--tokens", "a_b"], /--tokens/],
    [["--memory", "1KiB"], /--memory: 1KiB is too small/],
    [["--root", "data"], /--root: "data" is neither an absolute path nor an address/],
    [["--volume", "claim"], /is not name=value/],
    [["--volume", "claim=data"], /nothing can be mounted at "data"/],
    [["--volume", "claim=/a:b"], /nothing can be mounted at/],
    [["--volume", "claim=/a/../b"], /nothing can be mounted at/],
    [["--volume", "claim=/tmp/x"], /nothing can be mounted at "\/tmp\/x" \[USAGE\]\n {2}\/tmp is taken/],
    [["--volume", "claim=/var"], /\/var\/lib\/sheaf is taken/],
    [["--volume", "a=/data", "--volume", "b=/data"], /\/data is taken/],
  ];
  for (const [flags, said] of cases) {
    const more = flags.length === 0 || flags[0] === "--image" ? flags : [...image, ...flags];
    const { code, stdout, stderr } = await sheafHere(["k8s", "manifests", ...more]);
    assert.deepEqual([code, stdout], [2, ""], stderr);
    assert.match(stderr, said);
  }
});

test("YAML reads every text as it was", { skip: python.skip }, () => {
  const words = [
    "yes",
    "No",
    "null",
    "~",
    "",
    " a",
    "a: b",
    "- a",
    "#x",
    "1",
    "1e3",
    "0x1F",
    "1:30",
    "2026-01-01",
    "a#b",
    "a #b",
  ];
  const odd = [
    "ä\u2028b",
    "tab\t",
    "line\nbreak",
    '"quoted" \\',
    "{a}",
    "[b]",
    "*x",
    "&x",
    "!x",
    "%x",
    "@x",
    "`x",
    "=",
    "<<",
    ".inf",
    "y",
    "off",
  ];
  const value = {
    texts: [...words, ...odd],
    ...Object.fromEntries(
      [...words, ...odd].map((word) => [word, { [word]: [[1], [], {}, [{ a: [], b: null }]] }]),
    ),
    numbers: [0, -1, 1.5, true, false, null],
    empty: {},
  };
  const code = "import sys, json, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))";
  assert.deepEqual(ask(code, yamlOf(value)), value);
});
