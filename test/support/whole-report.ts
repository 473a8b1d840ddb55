/**
 * Loaded before the tests of every file (package.json, .ci/run). With `--test-force-exit` Node ends the process of a file while parts of its report are
 * on their way to the runner, which then lacks tests without a word (nodejs/node#64833). What is written at once cannot be cut off.
 */
const handle: unknown = process.env['NODE_TEST_CONTEXT'] === undefined ? null : Reflect.get(process.stdout, '_handle')
if (typeof handle === 'object' && handle !== null && 'setBlocking' in handle && typeof handle.setBlocking === 'function') handle.setBlocking(true)
