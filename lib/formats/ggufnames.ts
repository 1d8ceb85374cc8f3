// What llama.cpp calls things.
import { outOfRange } from '../errors.js'

/** What a token is to llama.cpp (enum llama_token_type); `own` is defined by the user. */
export const TOKEN_TYPE = { normal: 1, control: 3, own: 4, unused: 5 } as const

const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^wte$/, 'token_embd'],
  [/^wpe$/, 'position_embd'],
  [/^ln_f$/, 'output_norm'],
  [/^lm_head$/, 'output'],
  [/^h\.(\d+)\.ln_1$/, 'blk.$1.attn_norm'],
  [/^h\.(\d+)\.attn\.c_attn$/, 'blk.$1.attn_qkv'],
  [/^h\.(\d+)\.attn\.c_proj$/, 'blk.$1.attn_output'],
  [/^h\.(\d+)\.ln_2$/, 'blk.$1.ffn_norm'],
  [/^h\.(\d+)\.mlp\.c_fc$/, 'blk.$1.ffn_up'],
  [/^h\.(\d+)\.mlp\.c_proj$/, 'blk.$1.ffn_down'],
]

/** llama.cpp's name of one of our parameters: 'h.0.attn.c_attn.weight' is 'blk.0.attn_qkv.weight'. */
export function ggufName(name: string): string {
  const [, stem, kind] = /^(.*)\.(\w+)$/.exec(name)!
  for (const [pattern, into] of NAMES) {
    if (pattern.test(stem!)) return `${stem!.replace(pattern, into)}.${kind}`
  }
  throw outOfRange('a parameter of GPT-2', 'name', name)
}
