/** Not in the library's own types. */
declare module 'node-disk-info/dist/utils/constants.js' {
  export const Constants: { LINUX_COMMAND: string; DARWIN_COMMAND: string };
  const all: { Constants: typeof Constants } | undefined;
  export default all;
}
