import { job, text } from "sheaf";

export default job({ input: text(), order: "total", output: text(), partitions: 3 });
