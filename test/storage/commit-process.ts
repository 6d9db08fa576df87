import { storeOf } from "#src/storage/stores.js";
import { commitAll, outputFiles } from "./stored-files.ts";

/** A process that commits an output, to be killed while it does: ADDRESS JOB DIRECTORY. */
const [address = "", job = "", directory = ""] = process.argv.slice(2);
await commitAll(await storeOf(address), address, job, outputFiles, directory, true);
// Connections that are kept alive hold it up.
process.exit(0);
