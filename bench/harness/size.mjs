export { GiB, MiB, formatSize, parseSize } from "../../modules/base/size.js";
