import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import type { Interface } from 'node:readline'
import { AbortError, GptloomError } from '../errors.js'
import type { ChatSession, GenerateOptions, LanguageModel } from '../generate/index.js'
import { UsageError } from './arguments.js'
import type { Parsed, Verb } from './arguments.js'
import { harmless } from './format.js'
import { downloadFlag, machineFlags, open, samplingFlags, valuesOf, weightsFlag } from './load.js'

export const chat: Verb = {
  name: 'chat',
  usage: '<model folder> [options]',
  summary: 'talk to a model that was trained on conversations',
  flags: [
    {
      title: 'Answers',
      flags: [
        { name: 'system', value: '<text>', help: 'what the model is told first' },
        ...samplingFlags,
      ],
    },
    { title: 'Machine', flags: [...machineFlags, weightsFlag, downloadFlag] },
  ],
  examples: [
    'gptloom chat my-model',
    'gptloom chat my-model --system "You are the help desk of a shop" --temperature 0.5',
    'printf "Where is my parcel?\\n" | gptloom chat my-model --temperature 0',
  ],
  run,
}

const HELP = `/reset          begin anew
/system <text>  begin anew, with what the model is told first
/save <file>    write the conversation as JSON
/quit           end; so does Ctrl-D. Ctrl-C stops an answer
`

async function run({ positionals, values }: Parsed): Promise<number> {
  const [folder, ...more] = positionals
  if (!folder) throw new UsageError('Name the folder of a model')
  if (more.length > 0) throw new UsageError('Give one model: what is said comes from the keyboard')
  using model = await open(folder, values)
  const conversation = new Conversation(
    model,
    valuesOf(samplingFlags, values) as GenerateOptions,
    values.system as string | undefined,
  )
  return await conversation.run() // before the model is disposed
}

/** Lines in, answers out, until the input ends. */
class Conversation {
  readonly #terminal = Boolean(process.stdin.isTTY && process.stdout.isTTY)
  #session: ChatSession
  /** Stops the answer that is being written. */
  #answer: AbortController | undefined
  #code = 0

  constructor(
    private readonly model: LanguageModel,
    private readonly options: GenerateOptions,
    system: string | undefined,
  ) {
    this.#session = model.session({ system })
  }

  async run(): Promise<number> {
    const lines = createInterface({
      input: process.stdin,
      ...(this.#terminal && { output: process.stdout }),
      prompt: '> ',
      historySize: 1000,
    })
    const interrupt = () => this.#interrupt(lines)
    lines.on('SIGINT', interrupt)
    process.on('SIGINT', interrupt)
    try {
      if (this.#terminal) process.stdout.write('/help tells what can be typed\n')
      this.#prompt(lines)
      for await (const line of lines) {
        if (!(await this.#take(line.trim()))) break
        this.#prompt(lines)
      }
    } finally {
      process.off('SIGINT', interrupt)
      lines.close()
      this.#session.dispose()
    }
    if (this.#terminal) process.stdout.write('\n')
    return this.#code
  }

  #prompt(lines: Interface): void {
    if (this.#terminal) lines.prompt()
  }

  #interrupt(lines: Interface): void {
    if (this.#answer) return this.#answer.abort()
    if (this.#terminal) {
      process.stdout.write('\n(Ctrl-D or /quit ends)\n')
      // What was typed of a line is dropped, as a shell does.
      lines.write(null, { ctrl: true, name: 'u' })
      return this.#prompt(lines)
    }
    this.#code = 128 + constants.signals.SIGINT
    lines.close()
  }

  /** @returns whether to go on */
  async #take(line: string): Promise<boolean> {
    if (line === '') return true
    try {
      if (line.startsWith('/')) return await this.#command(line)
      await this.#say(line)
    } catch (error) {
      // A message that is too long, a file that cannot be written: the conversation goes on.
      if (!(error instanceof GptloomError)) throw error
      process.stderr.write(`error: ${error.message}\n`)
    }
    return true
  }

  async #command(line: string): Promise<boolean> {
    const [, name, rest] = /^\/(\S*)\s*(.*)$/s.exec(line)!
    if (name === 'quit' || name === 'exit') return false
    if (name === 'reset') this.#session.reset()
    else if (name === 'help') process.stdout.write(HELP)
    else if (name === 'system' && rest) {
      this.#session.dispose()
      this.#session = this.model.session({ system: rest })
    } else if (name === 'save' && rest) {
      await this.#session.save(rest)
      process.stdout.write(`The conversation is in ${rest}\n`)
    } else {
      const wanted =
        name === 'save' ? '/save <file>' : name === 'system' ? '/system <text>' : '/help'
      process.stderr.write(`error: Unknown or incomplete command /${name}: type ${wanted}\n`)
    }
    return true
  }

  async #say(text: string): Promise<void> {
    this.#answer = new AbortController()
    const { signal } = this.#answer
    try {
      for await (const piece of this.#session.say(text, { ...this.options, signal }))
        process.stdout.write(this.#terminal ? harmless(piece) : piece)
    } catch (error) {
      if (!(error instanceof AbortError)) throw error
    } finally {
      this.#answer = undefined
    }
    process.stdout.write('\n')
  }
}
