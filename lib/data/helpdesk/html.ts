/** What is left out with all that is in it. Of quoted mails nothing is kept. */
const LEFT_OUT = ['script', 'style', 'head', 'title', 'blockquote', 'template', 'svg']
const QUOTE_CLASS = /gmail_quote|yahoo_quoted|moz-cite-prefix|zendesk_quoted|OutlookMessageHeader/
const BREAKS = ['br', 'div', 'tr', 'li', 'table', 'hr', 'dt', 'dd', 'section', 'article', 'header']
const PARAGRAPHS = ['p', 'ul', 'ol', 'pre', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6']

const ENTITIES: Readonly<Record<string, string>> = {
  amp: '&',
  lt: '<',
  gt: '>',
  quot: '"',
  apos: "'",
  nbsp: ' ',
  hellip: '…',
  ndash: '–',
  mdash: '—',
  lsquo: '‘',
  rsquo: '’',
  ldquo: '“',
  rdquo: '”',
  bull: '•',
  euro: '€',
  pound: '£',
  copy: '©',
  reg: '®',
  trade: '™',
  deg: '°',
  auml: 'ä',
  ouml: 'ö',
  uuml: 'ü',
  Auml: 'Ä',
  Ouml: 'Ö',
  Uuml: 'Ü',
  szlig: 'ß',
  eacute: 'é',
  egrave: 'è',
  agrave: 'à',
  ccedil: 'ç',
  ntilde: 'ñ',
}

/**
 * The text of a piece of HTML: blocks on lines of their own, list items with a dash, quoted mails
 * and scripts left out, entities resolved. One walk over the tags, no tree: time is linear, and
 * broken HTML gives some text rather than an error.
 */
export function htmlToText(html: string): string {
  const out: string[] = []
  let hidden: { tag: string; depth: number } | undefined
  let at = 0
  while (at < html.length) {
    const open = html.indexOf('<', at)
    const end = open < 0 ? html.length : open
    if (!hidden && end > at) out.push(decodeEntities(html.slice(at, end)).replace(/\s+/g, ' '))
    if (open < 0) break
    if (html.startsWith('<!--', open)) {
      const close = html.indexOf('-->', open + 4)
      at = close < 0 ? html.length : close + 3
      continue
    }
    if (!/[a-zA-Z/!?]/.test(html[open + 1] ?? '')) {
      if (!hidden) out.push('<')
      at = open + 1
      continue
    }
    const close = html.indexOf('>', open)
    const tag = html.slice(open + 1, close < 0 ? html.length : close)
    at = close < 0 ? html.length : close + 1
    const [, slash, word] = /^(\/?)([a-zA-Z0-9]*)/.exec(tag)!
    const name = word!.toLowerCase()
    if (hidden) {
      if (name === hidden.tag && !tag.endsWith('/')) hidden.depth += slash ? -1 : 1
      if (hidden.depth === 0) hidden = undefined
    } else if (!slash && (LEFT_OUT.includes(name) || QUOTE_CLASS.test(tag.slice(0, 500)))) {
      if (!tag.endsWith('/') && name !== 'br' && name !== 'hr') hidden = { tag: name, depth: 1 }
    } else if (name === 'li' && !slash) out.push('\n- ')
    else if (BREAKS.includes(name) && (!slash || name !== 'br')) out.push('\n')
    else if (PARAGRAPHS.includes(name)) out.push('\n\n')
  }
  const lines = out.join('').split('\n')
  return lines
    .map((line) => line.trim())
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .trim()
}

function decodeEntities(text: string): string {
  if (!text.includes('&')) return text
  return text.replace(
    /&(?:#(\d{1,7})|#[xX]([0-9a-fA-F]{1,6})|([a-zA-Z]{2,8}));/g,
    (all, ...groups) => {
      const [decimal, hex, name] = groups as (string | undefined)[]
      if (name !== undefined) return Object.hasOwn(ENTITIES, name) ? ENTITIES[name]! : all
      const code = decimal ? parseInt(decimal, 10) : parseInt(hex!, 16)
      const valid = code > 0 && code <= 0x10ffff && !(code >= 0xd800 && code < 0xe000)
      return valid ? String.fromCodePoint(code) : '\ufffd'
    },
  )
}
