/** Apache Kafka's jars and the Java that runs them: bench/peers/kafka/pom.xml, brought once by Maven into `~/.cache/bayou` or $BAYOU_CACHE. */
import { createHash } from 'node:crypto'
import { access, mkdir, readFile, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runToEnd } from './processes.ts'

const pom = fileURLToPath(new URL('./kafka/pom.xml', import.meta.url))
const resolveMsMax = 15 * 60_000

/** The class path. Rejects with an Error that says what is needed: java 17 and mvn. */
export async function kafkaClassPath(log: (line: string) => void): Promise<string> {
  await runToEnd('java', ['-version'], { timeoutMs: 30_000 })
  const version = createHash('sha256').update(await readFile(pom)).digest('hex').slice(0, 12)
  const folder = join(process.env['BAYOU_CACHE'] ?? join(homedir(), '.cache', 'bayou'), 'bench-kafka')
  const target = join(folder, version)
  if (!(await exists(target))) {
    log("bringing Apache Kafka's jars with mvn (once)")
    const fresh = `${target}.${process.pid}`
    await mkdir(folder, { recursive: true })
    try {
      await runToEnd('mvn', ['-B', '-q', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${fresh}`, '-DincludeScope=runtime'], { timeoutMs: resolveMsMax })
      await rename(fresh, target)
    } finally {
      await rm(fresh, { recursive: true, force: true })
    }
  }
  return `${target}/*`
}

function exists(path: string): Promise<boolean> {
  return access(path).then(() => true, () => false)
}
