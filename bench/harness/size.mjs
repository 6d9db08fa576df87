export { GiB, MiB, formatSize, parseSize } from "../../dist/base/size.js";
