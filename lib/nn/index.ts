export { Embedding, LayerNorm, Linear } from './layers.js'
export type { Init } from './layers.js'
export { Module } from './module.js'
