// Included before everything else when the addon is built to be shipped for Linux. Functions of the C
// library that got a new version in glibc 2.29 are asked for by their old one, so that 2.28 (RHEL 8, and
// what Node 20 itself needs) is enough. The two differ in reporting errors through matherr() alone.
#if defined(__x86_64__)
#define GPTLOOM_SINCE "GLIBC_2.2.5"
#else
#define GPTLOOM_SINCE "GLIBC_2.17"
#endif
#define GPTLOOM_OLD(name) __asm__(".symver " #name "," #name "@" GPTLOOM_SINCE)
GPTLOOM_OLD(exp);
GPTLOOM_OLD(exp2);
GPTLOOM_OLD(log);
GPTLOOM_OLD(log2);
GPTLOOM_OLD(pow);
#undef GPTLOOM_OLD
#undef GPTLOOM_SINCE
