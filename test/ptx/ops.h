// What the decoder binds beyond the table of forms: memory, warp-wide, asynchronous and control
// instructions. Operands d, a, b, c are slots; the comment names what each means. `x[k]` is the
// k-th extra operand.
#pragma once
#include "machine.h"

namespace ptx {

// memory.cc. Register operands of vectors are extras; a single one is d (load) or a (store).
void load(Warp&, const Inst&, uint32_t);
void store(Warp&, const Inst&, uint32_t);
void is_space(Warp&, const Inst&, uint32_t);  // d predicate, a address, imm Space
void map_shared_rank(Warp&, const Inst&,
                     uint32_t);  // mapa: d, a address, b rank; imm 1: generic addresses
void shared_rank(Warp&, const Inst&, uint32_t);  // getctarank: d, a address
void fence(Warp&, const Inst&, uint32_t);        // imm 1: reaches other blocks
void read_clock(Warp&, const Inst&, uint32_t);   // d, imm Special
void nothing(Warp&, const Inst&, uint32_t);
void frame_address(Warp&, const Inst&, uint32_t);  // d, a frame, b offset; imm bytes of d

// atomic.cc. d old value (no_slot for red), a operand, b second operand of cas; imm AtomicOp.
// Vectors: extras, olds first.
enum AtomicOp : uint32_t {
  op_add,
  op_and,
  op_or,
  op_xor,
  op_exch,
  op_cas,
  op_inc,
  op_dec,
  op_min,
  op_max
};
void atomic(Warp&, const Inst&, uint32_t);

// warp.cc
void shuffle(Warp&, const Inst&,
             uint32_t);  // d value, a source, b lane, c clamp; imm mode; x[0] predicate
void vote(Warp&, const Inst&, uint32_t);         // d, a predicate; imm mode | negated << 4
void match(Warp&, const Inst&, uint32_t);        // d, a value; imm all << 4 | bytes; x[0] predicate
void active_mask(Warp&, const Inst&, uint32_t);  // d
void reduce(Warp&, const Inst&,
            uint32_t);  // redux: d, a; imm AtomicOp | signed << 8 | float << 9 | abs..
void elect(Warp&, const Inst&, uint32_t);  // d lane, x[0] predicate
void warp_barrier(Warp&, const Inst&, uint32_t);
enum ShuffleMode : uint32_t { shuffle_up, shuffle_down, shuffle_bfly, shuffle_idx };
enum VoteMode : uint32_t { vote_all, vote_any, vote_uni, vote_ballot };

// matrix.cc, wmma.cc. Access: where; imm: count of 8x8 matrices | transposed << 8.
void load_matrix(Warp&, const Inst&, uint32_t);   // x: destinations
void store_matrix(Warp&, const Inst&, uint32_t);  // x: sources
void move_matrix(Warp&, const Inst&, uint32_t);   // d, a
struct MmaShape {
  int m, n, k;
  Ty a, b, c, d;
};  // x: d.., a.., b.., c.. ; imm index of the shape
extern const std::vector<MmaShape>& mma_shapes;
int element_bits(Ty type);  // in a matrix's fragment
void multiply_matrix(Warp&, const Inst&, uint32_t);
// wmma: one layout for fragments, row-major index e of the tile spread as lane e % 32 (see
// wmma.cc).
void wmma_load(Warp&, const Inst&, uint32_t);   // a stride; imm packs WmmaTile; x: destinations
void wmma_store(Warp&, const Inst&, uint32_t);  // a stride; x: sources
void wmma_multiply(Warp&, const Inst&,
                   uint32_t);  // x: d, a, b, c; imm index of the shape | saturates << 16

// async.cc
void copy_async(Warp&, const Inst&,
                uint32_t);  // access: destination; a source address, b source size; imm bytes
void commit_group(Warp&, const Inst&, uint32_t);
void wait_group(Warp&, const Inst&, uint32_t);  // imm groups that may stay pending; ~0: wait_all
void copy_bulk(Warp&, const Inst&,
               uint32_t);  // a destination, b source, c size, x[0] mbarrier; imm BulkKind

// mbarrier.cc. Access: the barrier's address.
void mbarrier_init(Warp&, const Inst&, uint32_t);  // a count
void mbarrier_invalidate(Warp&, const Inst&, uint32_t);
void mbarrier_arrive(Warp&, const Inst&,
                     uint32_t);  // d state, a count, b transactions; imm: 1 drop, 2 no complete
void mbarrier_expect(Warp&, const Inst&, uint32_t);  // a transactions; imm 1: complete_tx
void mbarrier_test(Warp&, const Inst&, uint32_t);  // d predicate, a state or parity; imm 1: parity
void mbarrier_pending(Warp&, const Inst&, uint32_t);      // d, a state
void mbarrier_copy_arrive(Warp&, const Inst&, uint32_t);  // cp.async.mbarrier.arrive; imm 1: noinc
void complete_transactions(Block&, uint32_t at, uint64_t bytes, const std::vector<uint32_t>& known);

// barrier.cc: block and cluster barriers, run by the scheduler. a identifier, b thread count, c
// predicate, d result.
enum BarrierKind : uint32_t { barrier_sync, barrier_arrive, barrier_popc, barrier_and, barrier_or };
bool arrive_at_barrier(Warp&, const Inst&, uint32_t mask);  // true when it need not wait (arrive)
void release_group(Warp&, const Inst&, uint32_t mask);      // writes the reduction's result
void cluster_arrive(Warp&, const Inst&, uint32_t);
bool pass_cluster_wait(Warp&, uint32_t mask);  // false when other threads are still to arrive

// frames.cc
uint32_t enter_callee(Warp&, const Inst&, uint32_t mask, uint32_t* target);  // lanes that go there
struct Return {
  uint32_t lanes, pc;
};
Return leave_callee(Warp&, uint32_t mask);  // the lanes that return with the first one of them

// builtins.cc. Parameters are local variables: offsets from frame a, or from 0.
void print_text(Warp&, const Inst&, uint32_t);        // vprintf: x[0] format, x[1] arguments
void assertion_failed(Warp&, const Inst&, uint32_t);  // x: the parameters
void heap_allocate(Warp&, const Inst&, uint32_t);     // malloc: x[0] size, x[1] result
void heap_free(Warp&, const Inst&, uint32_t);         // free: x[0] address
void trap(Warp&, const Inst&, uint32_t);

}  // namespace ptx
