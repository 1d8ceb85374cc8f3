// Figures for people. Nothing here depends on the locale: the output is the same on every machine.

/** 1234567 as 1,234,567. */
export function count(n: number): string {
  return Math.round(n)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')
}

/** With a decimal prefix: 12.3k, 4.56M. */
export function short(n: number): string {
  for (const [unit, size] of [
    ['T', 1e12],
    ['G', 1e9],
    ['M', 1e6],
    ['k', 1e3],
  ] as const) {
    if (n >= size * 0.9995) return three(n / size) + unit
  }
  return three(n)
}

/** 1.23 GB, 7.4 GFLOP/s. */
export function measure(n: number, unit: string): string {
  const [, figure, prefix] = /^(.*?)([a-z]?)$/i.exec(short(n))!
  return `${figure} ${prefix}${unit}`
}

export function bytes(n: number): string {
  return measure(n, 'B')
}

/** 1:05, or 2:03:04 from an hour on. */
export function clock(seconds: number): string {
  if (!Number.isFinite(seconds)) return '-:--'
  const s = Math.max(0, Math.round(seconds))
  const two = (n: number) => String(n).padStart(2, '0')
  const minutes = Math.floor(s / 60) % 60
  return s < 3600
    ? `${minutes}:${two(s % 60)}`
    : `${Math.floor(s / 3600)}:${two(minutes)}:${two(s % 60)}`
}

/** 12 % */
export function percent(share: number): string {
  return `${(100 * share).toFixed(share < 0.0995 && share > 0 ? 1 : 0)} %`
}

/** `one thing`, `3 things`. */
export function plural(n: number, what: string): string {
  return `${count(n)} ${what}${n === 1 ? '' : 's'}`
}

/** Names and values in two columns. */
export function table(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}\n`).join('')
}

/** Text that may hold anything, without what would steer a terminal. */
export function harmless(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '\ufffd')
}

function three(n: number): string {
  return n >= 99.95 || Number.isInteger(n) ? n.toFixed(0) : n.toFixed(n >= 9.995 ? 1 : 2)
}
