// A server that plays the hub: its listing of a model, small files that it sends itself, and large
// ones that it redirects to a second server.
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export const COMMIT = '0123456789abcdef0123456789abcdef01234567'

export interface Asked {
  host: 'hub' | 'storage'
  method: string
  path: string
  range: string | undefined
  token: string | undefined
}

type Hook = (asked: Asked, response: ServerResponse) => boolean

export class Hub {
  /** Every request, in order. */
  readonly asked: Asked[] = []
  readonly files = new Map<string, Buffer>()
  /** Files that lie on the storage host. */
  readonly large = new Set<string>()
  /** Answers in place of the server, when it returns true. */
  hook: Hook = () => false
  /** Sends just so many bytes of a body and cuts the connection. */
  cutAfter = Infinity
  /** Ignores ranges, as simple servers do. */
  ranges = true
  repository = 'org/tiny'
  #servers: Server[] = []
  #storage = ''
  endpoint = ''

  async start(): Promise<this> {
    this.endpoint = await this.#listen('hub')
    this.#storage = await this.#listen('storage')
    return this
  }

  close(): void {
    for (const server of this.#servers) {
      server.closeAllConnections()
      server.close()
    }
  }

  add(name: string, contents: string | Buffer, large = false): void {
    this.files.set(name, Buffer.from(contents))
    if (large) this.large.add(name)
  }

  hashOf(name: string): string {
    const contents = this.files.get(name)!
    if (this.large.has(name)) return createHash('sha256').update(contents).digest('hex')
    return createHash('sha1').update(`blob ${contents.length}\0`).update(contents).digest('hex')
  }

  count(path: RegExp, method = 'GET'): number {
    return this.asked.filter((one) => one.method === method && path.test(one.path)).length
  }

  async #listen(host: Asked['host']): Promise<string> {
    const server = createServer((request, response) => this.#answer(host, request, response))
    this.#servers.push(server)
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  #answer(host: Asked['host'], request: IncomingMessage, response: ServerResponse): void {
    const asked: Asked = {
      host,
      method: request.method!,
      path: decodeURIComponent(request.url!),
      range: request.headers.range,
      token: request.headers.authorization,
    }
    this.asked.push(asked)
    if (this.hook(asked, response)) return
    const { path, method } = asked
    if (host === 'storage') return this.#send(path.slice(1), asked, response)
    if (path.startsWith(`/api/models/${this.repository}/revision/`)) {
      const siblings = [...this.files.keys()].map((rfilename) => ({ rfilename }))
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ id: this.repository, sha: COMMIT, siblings }))
      return
    }
    const start = `/${this.repository}/resolve/${COMMIT}/`
    const name = path.slice(start.length)
    if (!path.startsWith(start) || !this.files.has(name)) {
      response.statusCode = 404
      response.end('not found')
      return
    }
    response.setHeader('x-repo-commit', COMMIT)
    if (!this.large.has(name)) {
      response.setHeader('etag', `"${this.hashOf(name)}"`)
      return this.#send(name, asked, response)
    }
    response.setHeader('x-linked-etag', `"${this.hashOf(name)}"`)
    response.setHeader('x-linked-size', this.files.get(name)!.length)
    response.setHeader('location', `${this.#storage}/${name}`)
    response.statusCode = 302
    response.end(method === 'HEAD' ? undefined : 'moved')
  }

  #send(name: string, { method, range }: Asked, response: ServerResponse): void {
    const contents = this.files.get(name)!
    const from = this.ranges ? Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0) : 0
    if (from > 0) {
      response.statusCode = from < contents.length ? 206 : 416
      response.setHeader('content-range', `bytes ${from}-${contents.length - 1}/${contents.length}`)
    }
    const body = contents.subarray(from)
    response.setHeader('content-length', body.length)
    if (method === 'HEAD' || response.statusCode === 416) response.end()
    else if (body.length <= this.cutAfter) response.end(body)
    else response.write(body.subarray(0, this.cutAfter), () => response.destroy())
  }
}
