/** Runs `task` on every item, at most `limit` at a time; rejects with the first failure, after which nothing new is begun. */
export async function atOnce<T>(limit: number, items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values()
  let failed = false
  const work = async (): Promise<void> => {
    for (const item of queue) {
      if (failed) return
      try {
        await task(item)
      } catch (error) {
        failed = true
        throw error
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, work))
}
