// The CUDA device without Node: its queues, its memory and its ends, from several threads. Runs on
// whatever libcuda.so.1 is found when GPTLOOM_TEST_KERNELS names the folder of kernel images, and
// without a driver tests that there is none.
#include "cuda/cuda_device.h"

#include <atomic>
#include <cstdlib>
#include <future>
#include <thread>

#include "bfloat16.h"
#include "cuda/image.h"
#include "test.h"

namespace gptloom::test {

namespace {

const char* folder() { return std::getenv("GPTLOOM_TEST_KERNELS"); }

int rounds(int usual) {
  const char* wanted = std::getenv("GPTLOOM_TEST_ROUNDS");
  return std::max(1, usual * (wanted ? std::atoi(wanted) : 100) / 100);
}

std::shared_ptr<Device> open_gpu(bool graphs = true, bool exact = false) {
  return cuda::open_device(0, {folder(), graphs, exact});
}

// A tensor that gives its memory back.
struct Block {
  Block(Device& owner, int64_t n, Dtype dtype = Dtype::float32) : device(owner) {
    array.dtype = dtype;
    array.shape = {1, {n}};
    array.data = device.allocate(array.bytes());
  }
  ~Block() { device.release(array.data, array.bytes()); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  Device& device;
  Array array;
};

// Waits for the device. The failure is read on the thread that brings it: ThreadSanitizer does not
// see the counter that says who frees an exception.
std::string wait_for(Device& device, const Array& x, void* target) {
  std::promise<std::string> answer;
  device.download(x, target, [&](std::exception_ptr failure) {
    std::string text;
    try {
      if (failure) std::rethrow_exception(failure);
    } catch (const Error& error) {
      text = std::string(error.code) + ": " + error.what();
    }
    answer.set_value(text);
  });
  return answer.get_future().get();
}

// x, doubled `times` times, in blocks that are given back while the work is still queued.
std::vector<float> doubled(Device& device, const std::vector<float>& x, int times) {
  const auto n = static_cast<int64_t>(x.size());
  auto block = std::make_unique<Block>(device, n);
  device.upload(block->array, x.data());
  for (int i = 0; i < times; i++) {
    auto next = std::make_unique<Block>(device, n);
    device.add(next->array, block->array, block->array);
    block = std::move(next);
  }
  std::vector<float> out(x.size());
  CHECK(wait_for(device, block->array, out.data()) == "");
  return out;
}

}  // namespace

TEST(cuda_without_a_driver_says_what_the_loader_answered) {
  if (folder()) return;
  const cuda::Loaded& loaded = cuda::load_driver();
  if (loaded.driver) return;
  CHECK(!loaded.reason.empty());
  CHECK(cuda::list_gpus().empty());
  throws("ERR_NO_DRIVER", [] { cuda::open_device(0, {}); });
}

TEST(bfloat16_rounds_to_nearest_even) {
  const float infinity = INFINITY;
  const struct {
    float x;
    uint16_t bits;
  } cases[] = {{0.0f, 0},
               {-0.0f, 0x8000},
               {1.0f, 0x3f80},
               {1.00390625f, 0x3f80},  // a tie, down to even
               {1.01171875f, 0x3f82},  // a tie, up to even
               {1.00390637f, 0x3f81},  // just above a tie
               {3.4e38f, 0x7f80},      // beyond the largest
               {infinity, 0x7f80},
               {-infinity, 0xff80}};
  for (const auto& [x, bits] : cases) CHECK(to_bfloat16(x) == bits);
  CHECK(std::isnan(from_bfloat16(to_bfloat16(NAN))));
  uint32_t signalling = 0x7f800001;  // its upper half alone would be an infinity
  float x;
  std::memcpy(&x, &signalling, sizeof x);
  CHECK(std::isnan(from_bfloat16(to_bfloat16(x))));
}

TEST(cuda_images_are_read_within_their_bounds) {
  const auto entry = [](uint16_t kind, const std::string& stored, uint32_t compressed = 0) {
    std::string out(32, '\0');
    const uint32_t header = 32;
    const uint64_t bytes = stored.size();
    std::memcpy(&out[0], &kind, 2);
    std::memcpy(&out[4], &header, 4);
    std::memcpy(&out[8], &bytes, 8);
    std::memcpy(&out[16], &compressed, 4);
    return out + stored;
  };
  const auto image = [](const std::string& payload) {
    const uint32_t magic = 0xba55ed50;
    const uint16_t version = 1, header = 16;
    const uint64_t bytes = payload.size();
    std::string out(16, '\0');
    std::memcpy(&out[0], &magic, 4);
    std::memcpy(&out[4], &version, 2);
    std::memcpy(&out[6], &header, 2);
    std::memcpy(&out[8], &bytes, 8);
    return out + payload;
  };
  const std::string text = ".version 7.0\n", padded = text + std::string(3, '\0');
  const std::string whole =
      image(entry(2, "machine") + entry(1, "packed", 7) + entry(1, padded) + entry(1, "later"));
  CHECK(cuda::is_whole(whole) && cuda::ptx_in(whole) == text);
  CHECK(cuda::is_whole(whole + "more"));
  CHECK(cuda::ptx_in(image(entry(2, "machine"))).empty());
  CHECK(cuda::ptx_in(image("")).empty());
  for (size_t bytes = 0; bytes < whole.size(); bytes++)
    CHECK(!cuda::is_whole(whole.substr(0, bytes)));
  // Whatever a byte says, nothing outside is read; AddressSanitizer watches.
  for (size_t at = 0; at < whole.size(); at++) {
    for (const int value : {0, 1, 31, 127, 128, 255}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(value);
      if (cuda::is_whole(changed)) CHECK(cuda::ptx_in(changed).size() <= whole.size());
    }
  }
}

TEST(cuda_runs_on_memory_given_back_while_it_is_queued) {
  if (!folder()) return;
  for (const bool graphs : {false, true}) {
    for (const bool exact : {false, true}) {
      const auto device = open_gpu(graphs, exact);
      for (int round = 0; round < rounds(20); round++) {
        const std::vector<float> x(1000, static_cast<float>(round));
        for (const float value : doubled(*device, x, 70)) CHECK(value == std::ldexp(x[0], 70));
      }
      CHECK(device->memory().used == 0);
      CHECK((device->counts().graphs > 0) == (graphs && rounds(20) > 1));
    }
  }
}

TEST(cuda_devices_of_several_threads) {
  if (!folder()) return;
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int mine = 0; mine < 3; mine++) {
    threads.emplace_back([mine, &wrong] {
      const auto device = open_gpu();
      for (int round = 0; round < rounds(20); round++) {
        const std::vector<float> out = doubled(*device, {1.0f + static_cast<float>(mine)}, 3);
        if (out[0] != 8 * (1 + static_cast<float>(mine))) wrong++;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}

TEST(cuda_closes_with_work_queued) {
  if (!folder()) return;
  for (int round = 0; round < rounds(40); round++) {
    const auto device = open_gpu();
    const std::vector<float> x(2000, 1);
    std::vector<float> read(2000);
    Block block(*device, 2000);
    std::atomic<int> answers{0};
    for (int i = 0; i < 20; i++) {
      device->upload(block.array, x.data());
      device->add(block.array, block.array, block.array);
      device->download(block.array, read.data(), [&](std::exception_ptr) { answers++; });
    }
    if (round % 3 == 1) std::this_thread::yield();
    if (round % 3 == 2) wait_for(*device, Array{}, nullptr);
    device->close();
    CHECK(answers == 20);
    CHECK(wait_for(*device, Array{}, nullptr) == "ERR_DEVICE: The device was closed");
    device->add(block.array, block.array, block.array);
    device->close();
  }
}

TEST(cuda_tells_a_bad_token_once) {
  if (!folder()) return;
  const auto device = open_gpu();
  Block tokens(*device, 4, Dtype::int32), table(*device, 6), out(*device, 8);
  tokens.array.shape = {2, {2, 2}};
  table.array.shape = {2, {3, 2}};
  out.array.shape = {3, {2, 2, 2}};
  const int32_t bad[] = {0, 2, 5, 9}, good[] = {0, 1, 2, 2};
  const float rows[] = {1, 2, 3, 4, 5, 6};
  device->upload(table.array, rows);
  for (int round = 0; round < 3; round++) {
    device->upload(tokens.array, bad);
    for (int i = 0; i < 300; i++)  // more than can be told apart
      device->embedding_forward(out.array, tokens.array, Array{}, table.array, Array{}, 0);
    const std::string message = wait_for(*device, Array{}, nullptr);
    CHECK(message.rfind("ERR_INDEX: Expected a token id in [0, 3) at [1, 0], received 5, in "
                        "embedding of [2, 2, 2], [2, 2], [3, 2] on ",
                        0) == 0);
    device->upload(tokens.array, good);
    device->embedding_forward(out.array, tokens.array, Array{}, table.array, Array{}, 0);
    float read[8];
    CHECK(wait_for(*device, out.array, read) == "");
    for (int i = 0; i < 8; i++) CHECK(read[i] == rows[2 * good[i / 2] + i % 2]);
  }
}

}  // namespace gptloom::test
