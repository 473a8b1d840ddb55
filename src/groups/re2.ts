/** The regular expressions of RE2, loaded when the first one is compiled: few brokers ever see one, and its tables are large. */
import { createRequire } from 'node:module'
import type * as Library from 're2js'

const require = createRequire(import.meta.url)

/** Throws where the pattern is none. Takes time linear in the text, whatever the pattern. */
export function compileRe2(pattern: string): Pick<Library.RE2JS, 'testExact'> {
  return (require('re2js') as typeof Library).RE2JS.compile(pattern)
}
