// Word count in C: the file mapped, one open-addressing table a thread, merged at the end. Words are runs of
// letters as iswalpha() sees them in a UTF-8 locale. The physical bound a TypeScript engine is measured against.
//
// usage: wordcount INPUT OUTPUT THREADS
// build: cc -O3 -march=native -pthread -o wordcount wordcount.c
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wctype.h>

typedef struct {
  const unsigned char *word; // into the mapped file
  uint32_t length;
  uint32_t hash;
  uint64_t count; // 0: free slot
} Slot;

typedef struct {
  Slot *slots;
  size_t mask, used;
} Table;

typedef struct {
  const unsigned char *from, *to;
  Table table;
} Range;

static unsigned char is_letter[256];

static void table_start(Table *table, size_t size) {
  table->slots = calloc(size, sizeof(Slot));
  if (table->slots == NULL) exit(1);
  table->mask = size - 1;
  table->used = 0;
}

static void table_add(Table *table, const unsigned char *word, uint32_t length, uint32_t hash,
                      uint64_t count);

static void table_grow(Table *table) {
  Table larger;
  table_start(&larger, (table->mask + 1) * 2);
  for (size_t i = 0; i <= table->mask; i++) {
    Slot *slot = &table->slots[i];
    if (slot->count != 0) table_add(&larger, slot->word, slot->length, slot->hash, slot->count);
  }
  free(table->slots);
  *table = larger;
}

static void table_add(Table *table, const unsigned char *word, uint32_t length, uint32_t hash,
                      uint64_t count) {
  for (size_t i = hash & table->mask;; i = (i + 1) & table->mask) {
    Slot *slot = &table->slots[i];
    if (slot->count == 0) {
      *slot = (Slot){word, length, hash, count};
      if (++table->used * 2 > table->mask) table_grow(table);
      return;
    }
    if (slot->hash == hash && slot->length == length && memcmp(slot->word, word, length) == 0) {
      slot->count += count;
      return;
    }
  }
}

// Length of the letter at p, 0 when it is none. *length_of_other is how far to go on then.
static inline int letter_at(const unsigned char *p, const unsigned char *end, int *length_of_other) {
  *length_of_other = 1;
  if (*p < 0x80) return is_letter[*p];
  int length = *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : *p >= 0xc0 ? 2 : 1;
  if (length == 1 || end - p < length) return 0;
  wint_t code = *p & (0x7f >> length);
  for (int i = 1; i < length; i++) code = code << 6 | (p[i] & 0x3f);
  *length_of_other = length;
  return iswalpha(code) ? length : 0;
}

static void *count_range(void *argument) {
  Range *range = argument;
  Table table;
  table_start(&table, 1 << 16);
  const unsigned char *p = range->from, *end = range->to;
  while (p < end) {
    int skip, length = letter_at(p, end, &skip);
    if (length == 0) {
      p += skip;
      continue;
    }
    const unsigned char *word = p;
    uint32_t hash = 2166136261u;
    do {
      for (int i = 0; i < length; i++) hash = (hash ^ p[i]) * 16777619u;
      p += length;
    } while (p < end && (length = letter_at(p, end, &skip)) != 0);
    hash ^= hash >> 15;
    table_add(&table, word, (uint32_t)(p - word), hash, 1);
  }
  range->table = table;
  return NULL;
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int threads = atoi(argv[3]);
  if (threads < 1 || threads > 64) return 2;
  if (setlocale(LC_CTYPE, "C.UTF-8") == NULL) setlocale(LC_CTYPE, "en_US.UTF-8");
  for (int c = 'a'; c <= 'z'; c++) is_letter[c] = is_letter[c - 32] = 1;

  int file = open(argv[1], O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status) != 0) return 1;
  size_t size = (size_t)status.st_size;
  const unsigned char *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, file, 0);
  if (data == MAP_FAILED) return 1;

  Range ranges[64];
  pthread_t ids[64];
  const unsigned char *from = data, *end = data + size;
  for (int i = 0; i < threads; i++) {
    const unsigned char *to = data + size * (size_t)(i + 1) / (size_t)threads;
    if (to < from) to = from;
    while (to < end && to[-1] != '\n') to++;
    ranges[i].from = from;
    ranges[i].to = i == threads - 1 ? end : to;
    from = to;
    pthread_create(&ids[i], NULL, count_range, &ranges[i]);
  }
  for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
  Table *all = &ranges[0].table;
  for (int i = 1; i < threads; i++) {
    Table *other = &ranges[i].table;
    for (size_t s = 0; s <= other->mask; s++) {
      Slot *slot = &other->slots[s];
      if (slot->count != 0) table_add(all, slot->word, slot->length, slot->hash, slot->count);
    }
  }
  FILE *output = fopen(argv[2], "w");
  if (output == NULL) return 1;
  for (size_t s = 0; s <= all->mask; s++) {
    Slot *slot = &all->slots[s];
    if (slot->count == 0) continue;
    fprintf(output, "%.*s\t%llu\n", (int)slot->length, slot->word, (unsigned long long)slot->count);
  }
  return fclose(output) == 0 ? 0 : 1;
}
