import { connect, createServer } from "node:net";

/*
 * Runs on a host of host-network.ts: whoever opens the socket file, which is the same on every host, is
 * connected with the address there.
 */

const [socketPath = "", host = "", port = ""] = process.argv.slice(2);

createServer((near) => {
  const far = connect(Number(port), host);
  near.pipe(far).pipe(near);
  near.on("error", () => far.destroy());
  far.on("error", () => near.destroy());
}).listen(socketPath);
