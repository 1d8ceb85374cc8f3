// Keeps the addon in the process.
#pragma once

namespace gptloom::glue {

// The pool's threads outlive the thread that has loaded the addon. Where that is a worker and no other
// thread uses it, Node would unmap their code when the worker ends.
void pin();

}  // namespace gptloom::glue
