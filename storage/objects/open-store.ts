/** From what people write behind `--store` to an object store. */
import { fileURLToPath } from 'node:url'
import type { Env } from '../env.ts'
import { openDirectoryStore } from './directory-store.ts'
import { MemoryStore } from './memory-store.ts'
import type { ObjectStore } from './object-store.ts'
import { StoreError } from './object-store.ts'
import { RetryingStore } from './retrying-store.ts'
import type { S3Options } from './s3-store.ts'

export interface OpenStoreOptions {
  /** For `s3://`: what the SDK's own configuration (AWS variables, profile) is not to decide. */
  readonly s3?: S3Options
}

/**
 * Opens `memory:`, `s3://bucket/prefix`, `file:///path`, or a path. Reads and plain writes of S3 are retried a few times,
 * conditional writes never.
 *
 * Throws StoreError: `invalid` for an address that is none of these, `missing-bucket`, `denied`, `unavailable`.
 */
export async function openStore(url: string, env: Env, options: OpenStoreOptions = {}): Promise<ObjectStore> {
  if (url === '') throw new StoreError('invalid', 'the store has no address')
  if (url === 'memory:') return new MemoryStore({ clock: env.clock })
  if (url.startsWith('s3://')) {
    const { bucket, prefix } = parseS3Url(url)
    // Loaded on demand: the SDK takes longer to load than everything else together.
    const { openS3Store } = await import('./s3-store.ts')
    return new RetryingStore(await openS3Store(bucket, prefix, env, options.s3), env)
  }
  if (url.startsWith('file:')) return openDirectoryStore(pathOf(url), env)
  if (/^[a-z][a-z0-9+.-]+:/i.test(url) && !/^[a-z]:[\\/]/i.test(url)) {
    throw new StoreError('invalid', `${url}: a store is a path, file:///path, s3://bucket/prefix or memory:`)
  }
  return openDirectoryStore(url, env)
}

/** `s3://bucket/a/b/` is bucket `bucket` and prefix `a/b/`; the prefix is empty or ends in a slash. */
export function parseS3Url(url: string): { readonly bucket: string; readonly prefix: string } {
  const match = /^s3:\/\/([^/?#]+)\/?([^?#]*)$/.exec(url)
  const bucket = match?.[1] ?? ''
  const names = (match?.[2] ?? '').split('/').filter((name) => name !== '')
  if (!/^[a-z0-9A-Z][a-z0-9A-Z._-]{1,62}$/.test(bucket) || names.some((name) => name === '.' || name === '..')) {
    throw new StoreError('invalid', `${url} is not of the form s3://bucket/prefix`)
  }
  return { bucket, prefix: names.map((name) => `${name}/`).join('') }
}

function pathOf(url: string): string {
  try {
    return fileURLToPath(url)
  } catch (cause) {
    throw new StoreError('invalid', `${url} is not of the form file:///path`, { cause })
  }
}
