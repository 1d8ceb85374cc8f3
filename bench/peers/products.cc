// Matrix products of another library, for the bench: bench/peers/products.ts compiles it against
// OpenBLAS (-DOPENBLAS) or oneDNN. Prints a version when it is ready. Lines of its input:
//   open M N K transpose_a transpose_b    makes out[M, N] = op(a) op(b), all row-major, once with each
//                                         interface that the library has; answers with out's first
//                                         and last element for each
//   run COUNT                             answers with seconds a product, of the fastest interface
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <vector>

#if defined(OPENBLAS)
#include <cblas.h>
#else
#include <oneapi/dnnl/dnnl.hpp>
#endif

namespace {

// The same numbers as in bench/peers/products.ts.
std::vector<float> numbers(int64_t n) {
  std::vector<float> out(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; i++) {
    out[static_cast<size_t>(i)] = static_cast<float>(i * 7919 % 201 - 100) / 128;
  }
  return out;
}

struct Product {
  int64_t M, N, K;
  bool transpose_a, transpose_b;
  std::vector<float> a = numbers(M * K), b = numbers(K * N);
  std::vector<float> out = std::vector<float>(static_cast<size_t>(M * N));
  std::vector<std::function<void()>> interfaces{};
};

#if defined(OPENBLAS)
const char* version() { return openblas_get_config(); }

void prepare(Product& p) {
  p.interfaces.push_back([&p] {
    cblas_sgemm(CblasRowMajor, p.transpose_a ? CblasTrans : CblasNoTrans,
                p.transpose_b ? CblasTrans : CblasNoTrans, static_cast<int>(p.M),
                static_cast<int>(p.N), static_cast<int>(p.K), 1, p.a.data(),
                static_cast<int>(p.transpose_a ? p.M : p.K), p.b.data(),
                static_cast<int>(p.transpose_b ? p.K : p.N), 0, p.out.data(),
                static_cast<int>(p.N));
  });
}
#else
const char* version() {
  static char text[64];
  const dnnl_version_t* v = dnnl_version();
  std::snprintf(text, sizeof text, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
  return text;
}

void prepare(Product& p) {
  p.interfaces.push_back([&p] {
    dnnl_sgemm(p.transpose_a ? 'T' : 'N', p.transpose_b ? 'T' : 'N', p.M, p.N, p.K, 1, p.a.data(),
               p.transpose_a ? p.M : p.K, p.b.data(), p.transpose_b ? p.K : p.N, 0, p.out.data(),
               p.N);
  });
  using Tag = dnnl::memory::format_tag;
  const dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  const auto describe = [](int64_t rows, int64_t columns, bool transposed) {
    return dnnl::memory::desc({rows, columns}, dnnl::memory::data_type::f32,
                              transposed ? Tag::ba : Tag::ab);
  };
  const auto a = describe(p.M, p.K, p.transpose_a), b = describe(p.K, p.N, p.transpose_b),
             out = describe(p.M, p.N, false);
#if DNNL_VERSION_MAJOR >= 3
  const dnnl::matmul::primitive_desc plan(engine, a, b, out);
#else
  const dnnl::matmul::primitive_desc plan(dnnl::matmul::desc(a, b, out), engine);
#endif
  const dnnl::matmul product(plan);
  const dnnl::memory from_a(a, engine, p.a.data()), from_b(b, engine, p.b.data()),
      to(out, engine, p.out.data());
  p.interfaces.push_back([product, from_a, from_b, to, engine] {
    dnnl::stream stream(engine);
    product.execute(stream,
                    {{DNNL_ARG_SRC, from_a}, {DNNL_ARG_WEIGHTS, from_b}, {DNNL_ARG_DST, to}});
    stream.wait();
  });
}
#endif

double seconds(const std::function<void()>& f, int count) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < count; i++) f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / count;
}

}  // namespace

int main() {
  std::printf("%s\n", version());
  std::fflush(stdout);
  char line[128];
  Product* product = nullptr;
  while (std::fgets(line, sizeof line, stdin)) {
    long long M, N, K;
    int a, b, count;
    if (std::sscanf(line, "open %lld %lld %lld %d %d", &M, &N, &K, &a, &b) == 5) {
      delete product;
      product = new Product{M, N, K, a != 0, b != 0};
      prepare(*product);
      for (const auto& f : product->interfaces) {
        product->out.assign(product->out.size(), 0);
        f();
        std::printf("%.9g %.9g ", product->out.front(), product->out.back());
      }
    } else if (product && std::sscanf(line, "run %d", &count) == 1 && count > 0) {
      double best = 0;
      for (const auto& f : product->interfaces) {
        const double time = seconds(f, count);
        if (best == 0 || time < best) best = time;
      }
      std::printf("%.9g", best);
    } else {
      return 1;
    }
    std::printf("\n");
    std::fflush(stdout);
  }
  delete product;
  return 0;
}
