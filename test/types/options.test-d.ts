// Compiled, never run: which options go with which `on`.
import type { RunOptions } from "#src/index.js";

declare function take(options: RunOptions): void;
declare const url: string;

take({});
take({ inputs: "in", workers: 2, isolate: "thread", tempDirectory: "/tmp" });
take({ on: "local", workers: 2 });
take({ on: "inline", inputs: ["a", "b"] });
take({ on: url, inputs: "in", cores: 8, priority: 1, shared: true });
take({ on: "http://10.0.0.5:7077", speculation: false });

// @ts-expect-error cores are those of a cluster
take({ cores: 8 });
// @ts-expect-error agents have their own workers
take({ on: url, workers: 2 });
// @ts-expect-error and run them in processes
take({ on: "http://10.0.0.5:7077", isolate: "thread" });
