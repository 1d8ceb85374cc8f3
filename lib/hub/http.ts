// Requests to a hub: redirects followed by hand, so that the token stays with the hub, stalled
// connections given up, and answers turned into errors that say what to do.
import { setTimeout as sleep } from 'node:timers/promises'
import { AbortError, GptloomError } from '../errors.js'

/** A connection that is silent for so long is given up, in milliseconds. */
const STALL = 60_000
const REDIRECTS = 5
const ATTEMPTS = 6
/** The longest that a hub may ask to wait, in milliseconds. */
const LONGEST_WAIT = 60_000

/** What all requests of a download share. */
export interface Session {
  /** The hub's address without a slash at the end. */
  readonly endpoint: string
  readonly token: string | undefined
  readonly signal: AbortSignal | undefined
  /** Milliseconds before the second attempt; doubled for each further one. */
  readonly retryDelay: number
}

/** A failure that another attempt may not have. */
export class Passing extends Error {
  constructor(
    message: string,
    /** What the hub asked to wait, in milliseconds. */
    readonly wait?: number,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }
}

/** An answer with its body still to come. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  /** The body in pieces; a stall or a cut connection throws Passing. */
  readonly body: AsyncIterable<Uint8Array>
  /** Gives up the rest of the body. */
  drop(): void
}

/**
 * Sends a request and follows redirects. Only the hub itself is sent the token.
 *
 * @param follow whether an answer is to be followed to another host. Default: always
 * @throws Passing, GptloomError ERR_HUB, AbortError
 */
export async function request(
  session: Session,
  url: string,
  options: { method?: 'GET' | 'HEAD'; range?: number; follow?: (headers: Headers) => boolean } = {},
): Promise<Answer> {
  const { method = 'GET', range, follow = () => true } = options
  const home = new URL(session.endpoint)
  let target = new URL(url)
  for (let hop = 0; hop <= REDIRECTS; hop++) {
    const headers = new Headers({ 'accept-encoding': 'identity', 'user-agent': 'gptloom' })
    if (session.token && target.origin === home.origin) {
      headers.set('authorization', `Bearer ${session.token}`)
    }
    if (range) headers.set('range', `bytes=${range}-`)
    const answer = await send(session, target, { method, headers, redirect: 'manual' })
    const location = answer.headers.get('location')
    if (answer.status < 300 || answer.status >= 400 || !location) return answer
    if (!follow(answer.headers)) return answer
    answer.drop()
    const next = URL.canParse(location, target.href) ? new URL(location, target) : undefined
    const safe =
      next?.protocol === 'https:' || (next?.protocol === 'http:' && home.protocol === 'http:')
    if (!next || !safe) {
      throw new GptloomError('ERR_HUB', `${target.href} redirects to an address that is not safe`)
    }
    target = next
  }
  throw new GptloomError('ERR_HUB', `${url} redirects more than ${REDIRECTS} times`)
}

async function send(session: Session, url: URL, init: RequestInit): Promise<Answer> {
  const { signal } = session
  const stall = new AbortController()
  const timer = setTimeout(() => stall.abort(), STALL)
  const stop = () => stall.abort()
  signal?.addEventListener('abort', stop)
  const end = () => {
    clearTimeout(timer)
    signal?.removeEventListener('abort', stop)
  }
  const failed = (error: unknown): Error => {
    end()
    if (signal?.aborted) return aborted(signal)
    const cause = (error as { cause?: { message?: string } }).cause?.message
    const what = stall.signal.aborted ? `nothing came for ${STALL / 1000} s` : cause
    return new Passing(what || (error as Error).message, undefined, { cause: error })
  }
  if (signal?.aborted) {
    end()
    throw aborted(signal)
  }
  try {
    const response = await fetch(url.href, { ...init, signal: stall.signal })
    async function* pieces() {
      try {
        for await (const piece of response.body ?? []) {
          timer.refresh()
          yield piece
        }
      } catch (error) {
        throw failed(error)
      } finally {
        end()
      }
    }
    const drop = () => {
      end()
      stall.abort()
    }
    return { status: response.status, headers: response.headers, body: pieces(), drop }
  } catch (error) {
    throw failed(error)
  }
}

function aborted(signal: AbortSignal): AbortError {
  const message = 'The download was stopped; what has arrived is kept for the next time'
  return new AbortError(message, undefined, { cause: signal.reason })
}

/**
 * Throws for every status but those of success: Passing for what may pass.
 *
 * @param what was asked for, for messages: 'openai-community/gpt2'
 */
export function checkStatus({ status, headers, drop }: Answer, what: string): void {
  if (status >= 200 && status < 300) return
  drop()
  if (status === 429 || status === 408 || status >= 500) {
    throw new Passing(status === 429 ? 'too many requests' : `status ${status}`, waitOf(headers))
  }
  if (status === 401 || status === 403) {
    throw new GptloomError(
      'ERR_HUB',
      `The hub refuses ${what} (status ${status}): it is private, gated or does not exist. Ask for ` +
        'access on its page and set HF_TOKEN to a token that may read it',
    )
  }
  const remedy = status === 404 ? ': check the name and the revision' : ''
  throw new GptloomError('ERR_HUB', `The hub has no ${what} (status ${status})${remedy}`)
}

function waitOf(headers: Headers): number | undefined {
  const value = headers.get('retry-after')
  if (value === null) return undefined
  const wait = /^\d+$/.test(value) ? 1000 * Number(value) : Date.parse(value) - Date.now()
  return Number.isFinite(wait) ? Math.max(0, wait) : undefined
}

/**
 * Repeats what fails in passing, waiting longer each time. A call of `progressed` begins the count
 * anew.
 *
 * @throws GptloomError ERR_HUB when it keeps failing, AbortError
 */
export async function withRetries<T>(
  session: Session,
  what: string,
  attempt: (progressed: () => void) => Promise<T>,
): Promise<T> {
  const { signal, retryDelay, endpoint } = session
  for (let failures = 0; ;) {
    try {
      return await attempt(() => {
        failures = 0
      })
    } catch (error) {
      if (!(error instanceof Passing)) throw error
      failures++
      const wait = error.wait ?? retryDelay * 2 ** (failures - 1)
      if (failures >= ATTEMPTS || wait > LONGEST_WAIT) {
        const later = error.wait === undefined ? '' : ` in ${Math.ceil(error.wait / 1000)} s`
        throw new GptloomError(
          'ERR_HUB',
          `${what} could not be fetched from ${endpoint}: ${error.message}. Check the connection ` +
            `(and HF_ENDPOINT) and try again${later}; what has arrived is kept`,
          { cause: error },
        )
      }
      await sleep(wait, undefined, { signal }).catch(() => {
        throw aborted(signal!)
      })
    }
  }
}

/** A whole answer of JSON, of at most 16 MB. */
export async function readJsonAnswer({ body }: Answer, what: string): Promise<unknown> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of body) {
    length += piece.length
    if (length > 1 << 24)
      throw new GptloomError('ERR_HUB', `What the hub says of ${what} is too long`)
    pieces.push(piece)
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString())
  } catch (cause) {
    throw new GptloomError('ERR_HUB', `What the hub says of ${what} is not JSON`, { cause })
  }
}
