/* A plain read of memory, as fast as one core does it: what a decoder can hardly be faster than. */
#include <stddef.h>
#include <stdint.h>

typedef uint64_t lane __attribute__((vector_size(64)));

/* The exclusive or of all whole blocks of 512 bytes, so that none of the reads can be left out. */
uint64_t read_plainly(const lane *data, size_t bytes) {
  lane a[8] = {0};
  for (size_t at = 0; at + 8 <= bytes / sizeof(lane); at += 8)
    for (int n = 0; n < 8; n++) a[n] ^= data[at + n];
  uint64_t made = 0;
  for (int n = 0; n < 8; n++)
    for (int m = 0; m < 8; m++) made ^= a[n][m];
  return made;
}
