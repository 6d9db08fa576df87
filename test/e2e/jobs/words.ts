import { count, job, words } from "sheaf";

export default job({ input: words(), reduce: count(), partitions: 3 });
