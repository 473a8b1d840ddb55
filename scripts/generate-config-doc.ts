/** Writes docs/CONFIG.md from the declarations in src/config/settings.ts. */
import { writeFileSync } from 'node:fs'
import { configReference } from '../src/config/print.ts'

writeFileSync(new URL('../docs/CONFIG.md', import.meta.url), configReference())
