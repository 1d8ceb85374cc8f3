/**
 * Layers to build models from: modules whose parameters have names, and their files.
 *
 * @packageDocumentation
 */
export { loadParameters, saveParameters } from './formats/parameters.js'
export * from './nn/index.js'
