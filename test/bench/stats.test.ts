/** The figures of the bench: what is published rests on them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { logNormal, median, quantiles, round, slope, spreads } from '../../bench/stats.ts'
import { seededRandom } from '../support/env.ts'

describe('statistics of the bench', () => {
  it('quantiles are samples, whatever their order', () => {
    const ms = Array.from({ length: 1000 }, (_, index) => (index * 7) % 1000)
    assert.deepEqual(quantiles(ms), { count: 1000, min: 0, p50: 500, p90: 900, p99: 990, p999: 999, max: 999 })
    assert.deepEqual(quantiles([5]), { count: 1, min: 5, p50: 5, p90: 5, p99: 5, p999: 5, max: 5 })
    assert.equal(quantiles([]).count, 0)
    assert.ok(Number.isNaN(quantiles([]).p99))
  })

  it('the median of an even number lies between the two in the middle', () => {
    assert.equal(median([4, 1, 3, 100]), 3.5)
    assert.equal(median([9, 1, 5]), 5)
    assert.ok(Number.isNaN(median([])))
  })

  it('spreads take each number from the repeats that have it', () => {
    assert.deepEqual(spreads([{ a: 3, b: 1 }, { a: 1 }, { a: 2, c: Number.NaN }]), { a: { min: 1, median: 2, max: 3 }, b: { min: 1, median: 1, max: 1 } })
  })

  it('the slope of a line is found, and of a single moment none', () => {
    assert.equal(slope([[0, 10], [1, 12], [2, 14], [3, 16]]), 2)
    assert.equal(slope([[0, 5], [10, 5], [20, 5]]), 0)
    assert.equal(slope([[1, 3], [1, 9]]), 0)
  })

  it('delays of the far store have the median and the 99th percentile that they are named after', () => {
    const draw = logNormal(seededRandom(3), 60, 200)
    const { p50, p99 } = quantiles(Array.from({ length: 100_000 }, draw))
    assert.ok(Math.abs(p50 - 60) < 1, `p50 ${p50}`)
    assert.ok(Math.abs(p99 - 200) < 8, `p99 ${p99}`)
  })

  it('numbers are shown with three digits', () => {
    assert.deepEqual([0.012_345, 1.5, 123.4, 98_765.4, undefined, Number.NaN].map(round), ['0.0123', '1.5', '123', '98,765', '–', '–'])
  })
})
