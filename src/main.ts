/** The program: `node bin/bayou.js serve …` runs it on the Node that it needs. */
import { runCli } from './cli/program.ts'
import { tuneHeap } from './heap-flags.ts'

process.exitCode = await runCli(process.argv.slice(2), {
  environment: process.env,
  out: text => process.stdout.write(text),
  error: text => process.stderr.write(text),
  async serve(loaded) {
    tuneHeap()
    // Loaded on demand: `bayou config` and `--help` need none of it.
    const [{ serve }, { startBroker }] = await Promise.all([import('./cli/serve.ts'), import('./broker.ts')])
    const code = await serve(loaded, startBroker)
    // A socket or a worker that somebody forgot must not keep a stopped broker alive.
    process.exit(code)
  },
})
