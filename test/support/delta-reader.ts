/**
 * Other people's Delta libraries (delta-rs and DuckDB) as a child process that answers questions: see `read_delta.py`.
 * `BAYOU_PYTHON` names the python to use, which `test/support/delta-python.sh` makes and prints.
 */
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

export type Engine = 'deltalake' | 'duckdb'
export const engines: readonly Engine[] = ['deltalake', 'duckdb']

export interface TableSummary {
  readonly version: number | null
  readonly count: number
  readonly partitions: Readonly<Record<string, { readonly count: number; readonly distinct: number; readonly min: number; readonly max: number }>>
}

/** A row as `read_delta.py` prints it: bytes in base64, milliseconds since the epoch. */
export interface TableRow {
  readonly partition: number | null
  readonly offset: number | null
  readonly timestamp: number | null
  readonly timestampType: number | null
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly (readonly [string, string | null])[] | null
}

/** False, or why tests with foreign readers cannot run: what `skip` takes. */
export const noDeltaReaders: string | false =
  process.env['BAYOU_PYTHON'] === undefined ? 'BAYOU_PYTHON is not set (BAYOU_PYTHON=$(test/support/delta-python.sh))' : false

export class DeltaReader {
  readonly #child = spawn(process.env['BAYOU_PYTHON'] ?? 'python3', [fileURLToPath(new URL('read_delta.py', import.meta.url)), 'serve'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  readonly #answers = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]()
  #tail: Promise<unknown> = Promise.resolve()

  /** Runs one command. Rejects with what the library said. */
  ask<T>(command: Readonly<Record<string, unknown>>): Promise<T> {
    const answer = this.#tail.then(async () => {
      this.#child.stdin.write(`${JSON.stringify(command)}\n`)
      const line = await this.#answers.next()
      if (line.done === true) throw new Error('the Delta reader ended')
      const { ok, error } = JSON.parse(line.value) as { ok?: T; error?: string }
      if (error !== undefined) throw new Error(`${JSON.stringify(command)}: ${error}`)
      return ok as T
    })
    this.#tail = answer.catch(() => undefined)
    return answer
  }

  summary(engine: Engine, table: string, version?: number): Promise<TableSummary> {
    return this.ask({ op: 'summary', engine, table, version })
  }

  rows(engine: Engine, table: string, version?: number): Promise<TableRow[]> {
    return this.ask({ op: 'rows', engine, table, version })
  }

  close(): Promise<void> {
    this.#child.stdin.end()
    return new Promise((done) => {
      if (this.#child.exitCode !== null) done()
      else this.#child.once('exit', () => done())
    })
  }
}
