// A line chart as SVG.

export interface Series {
  name: string
  /** In order of x. */
  points: { x: number; y: number }[]
}

export interface Axis {
  label: string
  /** Even steps for even ratios. Default false. */
  log?: boolean
  /** Where lines are drawn and what stands there. Default: round numbers. */
  ticks?: { at: number; text: string }[]
}

export interface Chart {
  title: string
  /** Below the title, smaller. */
  note: string
  x: Axis
  y: Axis
  series: Series[]
}

// Told apart by most who see colours differently (Okabe & Ito 2008), black and yellow left out; marks
// differ as well.
const colours = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00']
const frame = { left: 78, top: 64, width: 560, height: 320, bottom: 62 }
const LETTER = 7.2 // the width of a bold one, on average

const escape = (text: string) =>
  text.replace(/[&<>"]/g, (c) => `&${{ '&': 'amp', '<': 'lt', '>': 'gt', '"': 'quot' }[c]};`)

/** 1, 2 or 5 times a power of ten from low to high, some five of them. */
export function roundTicks(low: number, high: number, log = false): number[] {
  const ticks: number[] = []
  if (log) {
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      for (const digit of high / low > 1000 ? [1] : [1, 2, 5])
        ticks.push(Number(`${digit}e${power}`))
  } else {
    const raw = (high - low) / 5
    const power = 10 ** Math.floor(Math.log10(raw))
    const step = [1, 2, 5, 10].find((digit) => digit * power >= raw)! * power
    for (let i = Math.ceil(low / step); i * step <= high * (1 + 1e-9); i++)
      ticks.push(Number((i * step).toPrecision(12)))
  }
  return ticks.filter((tick) => tick >= low * (1 - 1e-9) && tick <= high * (1 + 1e-9))
}

interface Scale {
  place(value: number): number
  ticks: { at: number; text: string }[]
}

/** Values to places between 0 and 1; a single value to the middle. */
function scale({ log = false, ticks }: Axis, values: number[], room: number): Scale {
  const of = log ? Math.log : (x: number) => x
  let [low, high] = [Math.min(...values), Math.max(...values)]
  if (log) [low, high] = [low / (1 + room), high * (1 + room)]
  else if (room > 0) [low, high] = [0, high * (1 + room)]
  const span = of(high) - of(low)
  return {
    place: (value) => (span > 0 ? (of(value) - of(low)) / span : 0.5),
    ticks:
      ticks ?? roundTicks(low, high, log).map((at) => ({ at, text: at.toLocaleString('en-US') })),
  }
}

function mark(kind: number, x: number, y: number, colour: string): string {
  const at = `fill="${colour}" stroke="#fff"`
  if (kind % 3 === 0) return `<circle cx="${x}" cy="${y}" r="4.5" ${at}/>`
  if (kind % 3 === 1) return `<rect x="${x - 4}" y="${y - 4}" width="8" height="8" ${at}/>`
  return `<path d="M${x} ${y - 5.5}l5.5 9.5h-11z" ${at}/>`
}

function line(
  places: readonly (readonly [number, number])[],
  colour: string,
  wide: number,
): string {
  const path = places.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join('L')
  return `<path fill="none" stroke="${colour}" stroke-width="${wide}" d="M${path}"/>`
}

const text = (x: number, y: number, content: string, more = '') =>
  `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${more}>${escape(content)}</text>`

/** Labels below one another, each as near to its line's end as there is room for. */
function spread(wanted: number[], distance: number, bottom: number): number[] {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a]! - wanted[b]!)
  const placed = [...wanted]
  order.forEach((i, k) => {
    if (k > 0) placed[i] = Math.max(placed[i]!, placed[order[k - 1]!]! + distance)
  })
  let limit = bottom
  for (const i of order.reverse()) {
    placed[i] = Math.min(placed[i]!, limit)
    limit = placed[i]! - distance
  }
  return placed
}

export function chart({ title, note, x, y, series }: Chart): string {
  const points = series.flatMap((each) => each.points)
  if (points.length === 0) throw new Error(`There is nothing to draw for '${title}'`)
  const across = scale(x, points.map((p) => p.x), 0) // prettier-ignore
  const up = scale(y, points.map((p) => p.y), 0.15) // prettier-ignore
  const px = (value: number) => frame.left + 14 + across.place(value) * (frame.width - 28)
  const py = (value: number) => frame.top + (1 - up.place(value)) * frame.height
  const bottom = frame.top + frame.height
  const right = frame.left + frame.width
  const grid = [
    ...up.ticks.map(({ at, text: label }) => {
      const level = py(at).toFixed(1)
      return (
        `<path class="grid" d="M${frame.left} ${level}H${right}"/>` +
        text(frame.left - 10, py(at) + 4, label, 'text-anchor="end"')
      )
    }),
    ...across.ticks.map(
      ({ at, text: label }) =>
        `<path class="grid" d="M${px(at).toFixed(1)} ${bottom}v5"/>` +
        text(px(at), bottom + 20, label, 'text-anchor="middle"'),
    ),
  ]
  const ends = series.map(({ points }) => py(points.at(-1)!.y))
  const labels = spread(ends, 17, bottom)
  const lines = series.map(({ name, points }, i) => {
    const colour = colours[i % colours.length]!
    const places = points.map(
      (p) => [Number(px(p.x).toFixed(1)), Number(py(p.y).toFixed(1))] as const,
    )
    const [endX, endY] = places.at(-1)!
    return [
      line(places, colour, 2),
      ...places.map(([a, b]) => mark(i + Math.floor(i / colours.length), a, b, colour)),
      line([[endX + 6, endY], [right + 14, labels[i]!]], colour, 0.8), // prettier-ignore
      text(right + 18, labels[i]! + 4, name, `class="name" style="fill: ${colour}"`),
    ].join('\n')
  })
  const middle = frame.top + frame.height / 2
  const name = Math.max(...series.map(({ name }) => name.length)) * LETTER
  const [width, height] = [Math.ceil(right + 30 + name), bottom + frame.bottom]
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}">
<title>${escape(title)}</title>
<style>
text { font: 12px system-ui, 'Helvetica Neue', Arial, sans-serif; fill: #444 }
.title { font-size: 16px; font-weight: 600; fill: #111 } .name { font-weight: 600 }
.grid { stroke: #ddd; fill: none }
</style>
<rect width="${width}" height="${height}" fill="#fff"/>
${text(frame.left, 26, title, 'class="title"')}
${text(frame.left, 46, note)}
${grid.join('\n')}
<path stroke="#888" d="M${frame.left} ${bottom}H${right}"/>
${text((frame.left + right) / 2, bottom + 46, x.label, 'text-anchor="middle"')}
${text(0, 0, y.label, `text-anchor="middle" transform="translate(20 ${middle}) rotate(-90)"`)}
${lines.join('\n')}
</svg>
`
}
