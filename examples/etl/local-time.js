// Local timestamps without an offset ("2001-01-01T06:55:00.000") to epoch milliseconds, daylight saving time included.

const formats = new Map()

function partsIn(zone, epochMs) {
  let format = formats.get(zone)
  if (format === undefined) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    })
    formats.set(zone, format)
  }
  return Object.fromEntries(format.formatToParts(epochMs).map(({ type, value }) => [type, Number(value)]))
}

/** How far the clocks of a zone are ahead of UTC at a moment, in milliseconds. */
function offsetMs(zone, epochMs) {
  const { year, month, day, hour, minute, second } = partsIn(zone, epochMs)
  return Date.UTC(year, month - 1, day, hour, minute, second) - Math.floor(epochMs / 1000) * 1000
}

/** The local time of a zone as text, to the millisecond. */
export function localTime(zone, epochMs) {
  return new Date(epochMs + offsetMs(zone, epochMs)).toISOString().slice(0, -1)
}

/** Epoch milliseconds of a local time. One that does not exist (clocks went forward) is taken as if they had not. */
export function epochOf(zone, local) {
  const asUtc = Date.parse(`${local}Z`)
  if (Number.isNaN(asUtc)) throw new RangeError(`not a local time: ${local}`)
  const guess = asUtc - offsetMs(zone, asUtc)
  return asUtc - offsetMs(zone, guess)
}
