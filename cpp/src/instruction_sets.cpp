#include "carousel/instruction_sets.h"

#if defined(CAROUSEL_AMX)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
#endif

namespace carousel {
namespace {

#if defined(__x86_64__)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool has_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
#if defined(CAROUSEL_AMX)
// Linux lends the matrix unit's registers to a process that asks for them.
bool has_amx() {
  constexpr long REQUEST = 0x1023, TILE_DATA = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILE_DATA
  constexpr unsigned NEEDED = 1u << 22 | 1u << 24 | 1u << 25;  // bfloat16, tiles, int8
  unsigned a, b, c, d = 0;
  return has_vnni() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & NEEDED) == NEEDED &&
         syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}
#endif
#elif defined(__aarch64__) && defined(__linux__)
bool has_dotprod() { return getauxval(AT_HWCAP) & HWCAP_ASIMDDP; }
#elif defined(__aarch64__)
bool has_dotprod() { return true; }
#endif

// What this machine can run, best first.
std::vector<const Kernels*> runnable() {
  std::vector<const Kernels*> tables;
#if defined(CAROUSEL_AMX)
  if (has_amx()) tables.push_back(amx_kernels());
#endif
#if defined(__x86_64__)
  if (has_vnni()) tables.push_back(vnni_kernels());
  if (has_avx512()) tables.push_back(avx512_kernels());
  if (has_avx2()) tables.push_back(avx2_kernels());
#elif defined(__aarch64__)
  if (has_dotprod()) tables.push_back(dotprod_kernels());
  tables.push_back(neon_kernels());
#endif
  tables.push_back(plain_kernels());
  return tables;
}

}  // namespace

const Kernels* find_kernels(const std::string& name) {
  for (const Kernels* kernels : runnable())
    if (name.empty() || name == kernels->name) return kernels;
  return nullptr;
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> names;
  for (const Kernels* kernels : runnable()) names.emplace_back(kernels->name);
  return names;
}

}  // namespace carousel
