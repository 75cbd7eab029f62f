/* Carousel in C: a recurrent next-word model that reads, predicts and scores.
 *
 * A model is opened from a folder (config.json, model.safetensors, tokenizer.json) and never
 * changes. Any number of threads may use one model at once. The caller owns the state of each text:
 * `carousel_state_size` floats, all of them 0 before anything was read. Copy them to branch.
 *
 * Every function that can fail returns a carousel_status. After another one than CAROUSEL_OK,
 * `carousel_last_error` says in one line what was wrong, and outputs hold anything. Every pointer
 * must be valid for the size that comes with it. No C++ exception leaves the library.
 */
#ifndef CAROUSEL_H
#define CAROUSEL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define CAROUSEL_API __attribute__((visibility("default")))
#else
#define CAROUSEL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct carousel_model carousel_model;

typedef enum carousel_status {
  CAROUSEL_OK = 0,
  CAROUSEL_INVALID_ARGUMENT = 1, /* a null pointer, a wrong size, an unknown token, bad UTF-8 */
  CAROUSEL_INVALID_MODEL = 2,    /* a file is missing, damaged, or of another kind */
  CAROUSEL_UNSUPPORTED = 3,      /* a tokenizer that this library does not have */
  CAROUSEL_OUT_OF_MEMORY = 4,
  CAROUSEL_NOT_FINITE = 5, /* weights so large that scores or the state overflow */
  CAROUSEL_INTERNAL_ERROR = 6
} carousel_status;

/* Tokens that every model has. */
#define CAROUSEL_UNKNOWN 0     /* stands for words that the model does not know */
#define CAROUSEL_END_OF_LINE 1 /* read it first: training met the first word of a line after it */

/* The library's version, such as "0.1.0". */
CAROUSEL_API const char* carousel_version(void);

/* What went wrong in this thread's last call that failed; "" if none did. Printable ASCII. It stays
 * valid until the thread's next call that fails. */
CAROUSEL_API const char* carousel_last_error(void);

/* Opens the model in a folder. Its files must not be changed in place while it is open (to replace
 * the folder is allowed). Close it with carousel_close. */
CAROUSEL_API carousel_status carousel_open(const char* folder, carousel_model** model);

/* Frees a model; null is allowed. No other thread may use it any more. */
CAROUSEL_API void carousel_close(carousel_model* model);

/* How many tokens the model knows: their ids are 0 to this number - 1. 0 for null. */
CAROUSEL_API size_t carousel_vocab_size(const carousel_model* model);

/* How many floats the state of one text has. 0 for null. */
CAROUSEL_API size_t carousel_state_size(const carousel_model* model);

/* Reads `count` tokens, one after the other; `state` is read and replaced. */
CAROUSEL_API carousel_status carousel_step(const carousel_model* model, const int64_t* tokens,
                                           size_t count, float* state, size_t state_size);

/* The `k` likeliest next tokens, best first (of equals the lower id), and their natural
 * log-probabilities; k is 1 to the vocabulary's size. Both outputs have room for k. */
CAROUSEL_API carousel_status carousel_top_k(const carousel_model* model, const float* state,
                                            size_t state_size, size_t k, int64_t* tokens,
                                            float* log_probs);

/* The `k` likeliest next words: tokens that start with a letter, and with `prefix` if it is neither
 * null nor empty. With a prefix the probabilities are those among the words that start so. Both
 * outputs have room for k; `*count` is how many there are, k at most. Only for models of words. */
CAROUSEL_API carousel_status carousel_next_words(const carousel_model* model, const float* state,
                                                 size_t state_size, const char* prefix, size_t k,
                                                 int64_t* tokens, float* probabilities,
                                                 size_t* count);

/* The natural log-probability of one token as the next. */
CAROUSEL_API carousel_status carousel_log_prob(const carousel_model* model, const float* state,
                                               size_t state_size, int64_t token, float* log_prob);

/* The natural log-probability of each of `count` tokens before it is read; `state` is read and
 * replaced, as by carousel_step. `log_probs` has room for `count`. */
CAROUSEL_API carousel_status carousel_score(const carousel_model* model, const int64_t* tokens,
                                            size_t count, float* state, size_t state_size,
                                            float* log_probs);

/* The tokens of a text in UTF-8; a line break becomes CAROUSEL_END_OF_LINE. `*count` is how many
 * there are; of these, the first `capacity` are written. `tokens` may be null if `capacity` is 0.
 * Only for models of words and characters. */
CAROUSEL_API carousel_status carousel_encode(const carousel_model* model, const char* text,
                                             int64_t* tokens, size_t capacity, size_t* count);

/* The text of a token in UTF-8, ended by 0; `length`, if it is not null, is its number of bytes. It
 * belongs to the model. Text from a model file is data: check it before you show it. */
CAROUSEL_API carousel_status carousel_token(const carousel_model* model, int64_t token,
                                            const char** text, size_t* length);

#ifdef __cplusplus
}
#endif

#endif
