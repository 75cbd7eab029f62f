/* A keyboard's suggestions: type a line, and see the likeliest next words.
 *
 * keyboard MODEL_FOLDER
 *
 * After each line the three likeliest words are shown. A line that ends in the middle of a word
 * shows words that complete it; one that ends in a space, or is empty, shows what follows. */
#include <carousel.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUGGESTIONS = 3, LONGEST_LINE = 1000 };

/* Ends the program where a call failed. */
static void check(carousel_status status) {
  if (status == CAROUSEL_OK) return;
  fprintf(stderr, "keyboard: %s\n", carousel_last_error());
  exit(2);
}

/* Prints a token. It comes from a file: control characters must not reach the terminal. */
static void print_token(const carousel_model* model, int64_t token) {
  const char* text;
  size_t length;
  check(carousel_token(model, token, &text, &length));
  for (size_t n = 0; n < length; ++n) putchar(iscntrl((unsigned char)text[n]) ? '?' : text[n]);
}

/* Reads the whole words of a text into the state. */
static void read_words(const carousel_model* model, const char* text, float* state, size_t size) {
  int64_t tokens[LONGEST_LINE];
  size_t count;
  check(carousel_encode(model, text, tokens, LONGEST_LINE, &count));
  check(carousel_step(model, tokens, count < LONGEST_LINE ? count : LONGEST_LINE, state, size));
}

/* Prints the likeliest words after a state, which start with `prefix`. */
static void suggest(const carousel_model* model, const float* state, size_t size,
                    const char* prefix) {
  int64_t tokens[SUGGESTIONS];
  float probabilities[SUGGESTIONS];
  size_t count;
  check(
      carousel_next_words(model, state, size, prefix, SUGGESTIONS, tokens, probabilities, &count));
  for (size_t n = 0; n < count; ++n) {
    printf("%s", n ? " | " : "");
    print_token(model, tokens[n]);
    printf(" %.1f%%", 100 * probabilities[n]);
  }
  printf("\n");
}

int main(int argc, char** argv) {
  carousel_model* model;
  const int64_t end_of_line = CAROUSEL_END_OF_LINE;
  char line[LONGEST_LINE];
  if (argc != 2) {
    fprintf(stderr, "usage: keyboard MODEL_FOLDER\n");
    return 2;
  }
  check(carousel_open(argv[1], &model));
  const size_t size = carousel_state_size(model);
  float* state = calloc(size, sizeof *state);
  if (!state) return 1;
  while (fgets(line, sizeof line, stdin)) {
    line[strcspn(line, "\r\n")] = '\0';
    char* space = strrchr(line, ' ');
    char* prefix = space ? space + 1 : line; /* the word that is being typed */
    memset(state, 0, size * sizeof *state);
    check(carousel_step(model, &end_of_line, 1, state, size));
    const char first = *prefix;
    *prefix = '\0';
    read_words(model, line, state, size);
    *prefix = first;
    suggest(model, state, size, prefix);
    fflush(stdout);
  }
  free(state);
  carousel_close(model);
  return 0;
}
