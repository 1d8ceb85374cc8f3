import { adamwCase } from './adamw.js'
import { attentionCachedCase, attentionCase } from './attention.js'
import type { OpCase } from '../../lib/testing/index.js'
import { compactEmbeddingCase, compactMatmulCase } from './compact.js'
import { crossEntropyCase, linearCrossEntropyCase } from './crossentropy.js'
import { addCase, castCase, dropoutCase, fillCase, geluCase } from './elementwise.js'
import { embeddingCase } from './embedding.js'
import { layerNormCase } from './layernorm.js'
import { largeMatmulCase, matmulCase } from './matmul.js'
import { backwardProductsCase, mlpCase } from './mlp.js'
import { normalCase, uniformCase } from './random.js'
import { normCase, sumCase } from './reduce.js'

/** Ops of the CPU alone. */
export const cpuCases: OpCase<any>[] = [compactMatmulCase, compactEmbeddingCase]

// Each has a type of instance of its own, which only it needs to know.
export const cases: OpCase<any>[] = [
  addCase,
  geluCase,
  castCase,
  fillCase,
  dropoutCase,
  matmulCase,
  largeMatmulCase,
  mlpCase,
  backwardProductsCase,
  layerNormCase,
  embeddingCase,
  attentionCase,
  attentionCachedCase,
  crossEntropyCase,
  linearCrossEntropyCase,
  adamwCase,
  normalCase,
  uniformCase,
  sumCase,
  normCase,
]
