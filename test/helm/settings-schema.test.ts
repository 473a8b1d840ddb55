/** The chart knows every setting of the broker: values.schema.json is generated from their declarations, and this fails when it was not. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { root } from '../support/source-scan.ts'

it('values.schema.json lists the settings as they are declared', async () => {
  const check = promisify(execFile)(process.execPath, [join(root, 'scripts', 'generate-chart-schema.ts'), '--check'])
  await assert.doesNotReject(check)
})
